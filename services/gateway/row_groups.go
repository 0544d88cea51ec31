package gateway

import (
	"strconv"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
)

// groupsAllow is row 12: "Allow API access" lets in who is in one of its groups, and a member of a read-only group only
// reads. An application link names no user that the gateway could know: methods.links is its switch.
func groupsAllow(c *call) answer {
	if c.token != nil && c.token.ReadOnly && !c.reads() {
		return refuse(readOnly, "the token only reads")
	}
	g := c.site.groups
	if g == nil || c.cred.kind == kindLink {
		return answer{}
	}
	if c.user == "" {
		return refuse(userUnknown, "nobody is named")
	}
	m, err := c.gw.members.of(c, g)
	if err != nil {
		return unanswered(c, directoryAway, err)
	}
	c.groups = m.groups
	switch {
	case m.standing == identityv1.GroupsReply_STANDING_INACTIVE:
		return refuse(userUnknown, "the directory says that "+c.user+" is not active")
	case m.standing != identityv1.GroupsReply_STANDING_ACTIVE:
		return refuse(userUnknown, "the directory knows no "+c.user)
	case g.require && !m.allowed:
		return refuse(groupDenied, "")
	case m.readOnly != "" && !c.reads():
		return refuse(readOnly, "member of "+strconv.Quote(m.readOnly))
	default:
		return answer{}
	}
}
