package upstream

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Fleet is every node of every site, kept across configurations: a node that stays keeps its connections and
// what is known of its health; one that goes lets its running calls end.
type Fleet struct {
	settings Settings
	ctx      context.Context //nolint:containedctx // the life of the fleet, parent of every watch
	watches  sync.WaitGroup
	blind    bool // nobody asks its nodes how they are

	mu    sync.Mutex
	nodes map[Spec]*watched
}

// Spec names a node of a site.
type Spec struct {
	Site, ID, URL string
	// Status is the path of its status page.
	Status string
}

type watched struct {
	node *Node
	end  context.CancelFunc
}

// NewFleet gives an empty fleet whose watches end with ctx.
func NewFleet(ctx context.Context, s Settings) *Fleet {
	return &Fleet{settings: s.withDefaults(), ctx: ctx, nodes: map[Spec]*watched{}}
}

// NewBlindFleet gives an empty fleet whose nodes are asked nothing but what Do sends them: each counts as fit until it fails.
func NewBlindFleet(ctx context.Context, s Settings) *Fleet {
	f := NewFleet(ctx, s)
	f.blind = true
	return f
}

// Nodes gives the nodes of the specs, making those that are new. Forget ends those that are no longer wanted.
func (f *Fleet) Nodes(specs []Spec) ([]*Node, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	nodes := make([]*Node, 0, len(specs))
	for _, s := range specs {
		w := f.nodes[s]
		if w == nil {
			node, err := newNode(s.ID, s.URL, s.Status, f.settings)
			if err != nil {
				return nil, err
			}
			ctx, end := context.WithCancel(f.ctx)
			w = &watched{node: node, end: end}
			f.nodes[s] = w
			f.watches.Go(func() {
				if !f.blind {
					node.watch(ctx)
				}
				<-ctx.Done()
				node.closeIdle(0)
			})
		}
		nodes = append(nodes, w.node)
	}
	return nodes, nil
}

// Forget ends the watch over every node that is not among specs.
func (f *Fleet) Forget(specs []Spec) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s, w := range f.nodes {
		if !slices.Contains(specs, s) {
			w.end()
			delete(f.nodes, s)
		}
	}
}

// Wait returns when every watch has ended, after ctx.
func (f *Fleet) Wait() { f.watches.Wait() }

// Pool is the nodes of one site in one configuration.
type Pool struct {
	nodes   []*Node
	leaving []bool // beside nodes: only those whose sessions are there go to it
	turn    atomic.Uint32
}

// NewPool gives a pool of nodes; leaving names those that are to be emptied.
func NewPool(nodes []*Node, leaving ...string) *Pool {
	p := &Pool{nodes: nodes, leaving: make([]bool, len(nodes))}
	for i, n := range nodes {
		p.leaving[i] = slices.Contains(leaving, n.ID)
	}
	return p
}

// All gives every node of the pool.
func (p *Pool) All() []*Node { return p.nodes }

// Has tells whether a node of that id is in the pool.
func (p *Pool) Has(id string) bool {
	return id != "" && slices.ContainsFunc(p.nodes, func(n *Node) bool { return n.ID == id })
}

// Near says which node a call would best go to; the zero Near means the next in turn.
type Near struct {
	// ID is a node's; one that the site does not have means nothing.
	ID string
	// Key is what calls have in common that should meet at one node, whichever gateway they come through.
	Key string
}

// Next gives the node for a call among those that were not tried; nil when all were. Of those that are equally good it is
// the next in turn, or the one that the call's key falls to.
func (p *Pool) Next(near Near, tried []*Node) *Node {
	n := uint32(len(p.nodes)) //nolint:gosec // a site has few nodes
	if n == 0 {
		return nil
	}
	start := p.turn.Load()
	if near.Key == "" {
		start = p.turn.Add(1)
	}
	var best *Node
	var class standing
	var most uint64
	for k := range n {
		i := (start + k) % n
		node := p.nodes[i]
		if slices.Contains(tried, node) {
			continue
		}
		score := weight(near.Key, node.ID)
		here := node.standing(near, p.leaving[i], start, score)
		if best == nil || here < class || here == class && near.Key != "" && score > most {
			best, class, most = node, here, score
		}
	}
	return best
}

// standing is how good a node is for a call; the least is the best.
type standing uint8

const (
	hasSession standing = iota // fit, and the call's session is there
	takesAll                   // fit
	comesBack                  // fit since just now, and has its share of calls already
	leaves                     // fit, and to be emptied
	unfitHome                  // not fit, and the call's session is there; a status page may err
	unfit                      // not fit
)

func (n *Node) standing(near Near, leaving bool, turn uint32, score uint64) standing {
	home := n.ID == near.ID
	switch fit := n.fit(); {
	case fit && home:
		return hasSession
	case fit && leaving:
		return leaves
	case fit && n.holdsBack(near.Key, turn, score):
		return comesBack
	case fit:
		return takesAll
	case home:
		return unfitHome
	default:
		return unfit
	}
}

// weight is rendezvous hashing's: each key has its own order of the nodes, so one that goes moves only its own keys. FNV-1a,
// mixed once more, because the last bytes would hardly count.
func weight(key, node string) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range [...]string{key, node} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}
