package configlog

import (
	"fmt"
	"maps"
	"slices"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/factlog"
)

// FactLevel is the highest level of fact this program folds; see factlog.LevelOf.
const FactLevel = 3

// Decode reads a commit of the configuration log; see factlog.Decode.
func Decode(data []byte) (*configv1.Commit, []proto.Message, error) {
	return factlog.Decode(configv1.File_config_v1_facts_proto, data)
}

// AdminToken is a named token of the admin API; only its SHA-256 is known.
type AdminToken struct {
	Name      string
	Role      string
	SHA256    [32]byte
	ExpiresAt time.Time // zero: never
}

// Folded is everything the log says, before it is frozen. It is not safe for concurrent use.
type Folded struct {
	Config      Config
	AdminTokens map[string]AdminToken // by name
}

// Fold applies one fact. It believes the log; what it refuses is what no valid log holds, a setting of a site
// that is not there, a site registered twice or a time that is none, and a fact of a newer kind. After an error the Folded is as
// before.
//
// It replaces lists and maps and never writes into them, so that those of an earlier Folded stay as they are.
func (f *Folded) Fold(fact proto.Message) error {
	switch m := fact.(type) {
	case *configv1.SiteRegistered:
		if f.Config.Site(m.GetSite()) != nil {
			return fmt.Errorf("site %q registered twice", m.GetSite())
		}
		f.Config.Sites = append(f.Config.Sites, Site{ID: m.GetSite(), Product: m.GetProduct()})
	case *configv1.SiteRemoved:
		f.Config.Sites = slices.DeleteFunc(f.Config.Sites, func(s Site) bool { return s.ID == m.GetSite() })
	case *configv1.RetentionSet:
		f.Config.Audit.Retention = Retention{MaxDays: m.GetMaxDays(), MaxEntries: m.GetMaxEntries(), Every: Duration(m.GetEvery().AsDuration())}
	case *configv1.AdminTokenIssued:
		t := AdminToken{Name: m.GetName(), Role: m.GetRole()}
		copy(t.SHA256[:], m.GetTokenSha256())
		if m.GetExpiresAt() != nil {
			if err := m.GetExpiresAt().CheckValid(); err != nil {
				return fmt.Errorf("admin token %q expires at no time: %w", t.Name, err)
			}
			t.ExpiresAt = m.GetExpiresAt().AsTime()
		}
		f.AdminTokens = put(f.AdminTokens, t.Name, t)
	case *configv1.AdminTokenRevoked:
		f.AdminTokens = drop(f.AdminTokens, m.GetName())
	default:
		return f.foldSite(fact)
	}
	return nil
}

func (f *Folded) foldSite(fact proto.Message) error {
	about, ok := fact.(interface{ GetSite() string })
	if !ok {
		return &factlog.UnknownFactError{Type: string(fact.ProtoReflect().Descriptor().FullName())}
	}
	s := f.Config.Site(about.GetSite())
	if s == nil {
		return fmt.Errorf("%s about site %q, which is not registered", factlog.TypeOf(fact), about.GetSite())
	}
	if s.foldAddress(fact) || s.foldIdentity(fact) || s.foldRules(fact) {
		return nil
	}
	return &factlog.UnknownFactError{Type: string(fact.ProtoReflect().Descriptor().FullName())}
}

// foldAddress folds facts about where the site is and whether it is watched.
func (s *Site) foldAddress(fact proto.Message) bool {
	switch m := fact.(type) {
	case *configv1.SiteAddressed:
		s.Hosts, s.ContextPath, s.BaseURL = m.GetHosts(), m.GetContextPath(), m.GetBaseUrl()
	case *configv1.NodeAttached:
		s.Nodes = with(s.Nodes, Node{ID: m.GetNode(), URL: m.GetUrl()}, func(n Node) bool { return n.ID == m.GetNode() })
	case *configv1.NodeDrained:
		s.Nodes = slices.Clone(s.Nodes)
		for i := range s.Nodes {
			if s.Nodes[i].ID == m.GetNode() {
				s.Nodes[i].Drain = m.GetDrain()
			}
		}
	case *configv1.NodeDetached:
		s.Nodes = without(s.Nodes, func(n Node) bool { return n.ID == m.GetNode() })
	case *configv1.EnforcementSwitched:
		s.Enabled = m.GetEnabled()
	case *configv1.ModeSet:
		s.Mode = m.GetMode()
	case *configv1.ApiPathsSet:
		s.APIPaths = m.GetPatterns()
	case *configv1.TokenPathsSet:
		s.TokenPaths = m.GetPatterns()
	case *configv1.StalenessSet:
		s.Stale = Stale{Max: Duration(m.GetMax().AsDuration()), Strict: m.GetStrict()}
	case *configv1.AuditingSet:
		s.Audit = Auditing{Enabled: m.GetEnabled(), Pages: m.GetPages(), Sync: m.GetSync(), WhenUnavailable: m.GetWhenUnavailable()}
	default:
		return false
	}
	return true
}

// foldIdentity folds facts about who is believed and as whom Gatehouse acts.
func (s *Site) foldIdentity(fact proto.Message) bool {
	switch m := fact.(type) {
	case *configv1.MethodsSet:
		s.Methods = Methods{
			Basic: m.GetBasic(), OAuth: m.GetOauth(), PAT: m.GetPat(), APITokens: m.GetApiTokens(),
			Links: m.GetLinks(), ProductOAuth: m.GetProductOauth(),
		}
	case *configv1.GrantSwitched:
		s.Grant = m.GetGrant()
	case *configv1.ProviderTrusted:
		p := providerFromProto(m.GetProvider())
		s.Providers = with(s.Providers, p, func(q Provider) bool { return q.ID == p.ID })
	case *configv1.ProviderDistrusted:
		s.Providers = without(s.Providers, func(p Provider) bool { return p.ID == m.GetProvider() })
	case *configv1.UpstreamDriverSet:
		s.Upstream.Driver, s.Upstream.ConsumerKey, s.Upstream.PrivateKey = m.GetDriver(), m.GetConsumerKey(), secretFromProto(m.GetPrivateKey())
	case *configv1.UpstreamSignedUrlSet:
		s.Upstream.SignedURL = m.GetUrl()
	case *configv1.UpstreamAccountSet:
		s.Upstream.Accounts = put(s.Upstream.Accounts, m.GetAccount(), secretFromProto(m.GetCredential()))
	case *configv1.UpstreamAccountRemoved:
		s.Upstream.Accounts = drop(s.Upstream.Accounts, m.GetAccount())
	case *configv1.DirectorySet:
		s.Directory.Source, s.Directory.URL, s.Directory.Account = m.GetSource(), m.GetUrl(), m.GetAccount()
		s.Directory.MaxAge = Duration(m.GetMaxAge().AsDuration())
	case *configv1.DirectoryCredentialSet:
		s.Directory.Credential = secretFromProto(m.GetCredential())
	case *configv1.TokenCreationSwitched:
		s.TokenCreation = m.GetEnabled()
	case *configv1.TokenLimitsSet:
		s.Tokens = TokenLimits{MaxLifetime: Duration(m.GetMaxLifetime().AsDuration()), MaxPerUser: m.GetMaxPerUser()}
	default:
		return false
	}
	return true
}

// foldRules folds facts about what a caller may do.
func (s *Site) foldRules(fact proto.Message) bool {
	switch m := fact.(type) {
	case *configv1.TestsSaved:
		s.Tests = testsFromProto(m.GetTests())
	case *configv1.GroupRequirementSwitched:
		s.Groups.Require = m.GetRequire()
	case *configv1.AllowedGroupsSet:
		s.Groups.Allowed = m.GetGroups()
	case *configv1.ReadOnlyGroupsSet:
		s.Groups.ReadOnly = m.GetGroups()
	case *configv1.TokenCreatorGroupsSet:
		s.Groups.TokenCreators = m.GetGroups()
	case *configv1.SessionRulesSet:
		s.Sessions = Sessions{IP: m.GetIp(), Groups: m.GetGroups()}
	case *configv1.IpRestrictionSwitched:
		s.IP.Restrict = m.GetRestrict()
	case *configv1.IpRangeAllowed:
		s.IP.Allow = with(s.IP.Allow, m.GetRange(), is(m.GetRange()))
	case *configv1.IpRangeWithdrawn:
		s.IP.Allow = without(s.IP.Allow, is(m.GetRange()))
	case *configv1.ReverseProxySet:
		s.IP.ProxyHeader, s.IP.TrustedProxies = m.GetHeader(), m.GetTrustedProxies()
	case *configv1.PublicApiRestricted:
		s.PublicRestricted = with(s.PublicRestricted, m.GetPattern(), is(m.GetPattern()))
	case *configv1.PublicApiReleased:
		s.PublicRestricted = without(s.PublicRestricted, is(m.GetPattern()))
	case *configv1.ApiBypassed:
		s.Bypass = with(s.Bypass, m.GetPattern(), is(m.GetPattern()))
	case *configv1.ApiBypassEnded:
		s.Bypass = without(s.Bypass, is(m.GetPattern()))
	case *configv1.RateLimitSet:
		s.RateLimit = RateLimit{Enabled: m.GetEnabled(), Requests: m.GetRequests(), Per: Duration(m.GetPer().AsDuration())}
	default:
		return false
	}
	return true
}

// with gives the list with item in the place of what is the same, or at the end.
func with[T any](list []T, item T, same func(T) bool) []T {
	list = slices.Clone(list)
	if i := slices.IndexFunc(list, same); i >= 0 {
		list[i] = item
		return list
	}
	return append(list, item)
}

func without[T any](list []T, same func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), same)
}

func is(item string) func(string) bool { return func(s string) bool { return s == item } }

func put[V any](all map[string]V, key string, value V) map[string]V {
	all = maps.Clone(all)
	if all == nil {
		all = map[string]V{}
	}
	all[key] = value
	return all
}

func drop[V any](all map[string]V, key string) map[string]V {
	all = maps.Clone(all)
	delete(all, key)
	return all
}

// freeze gives a copy that no later fact changes. Only the sites themselves are copied: see Fold.
func (f *Folded) freeze() Folded {
	c := *f
	c.Config.Sites = slices.Clone(f.Config.Sites)
	return c
}
