package spool

import "time"

// Call is what the spool has to know of a call between Begin and End. The zero value is one that was not begun.
type Call struct {
	place      uint64 // of its last entry; 0: not begun
	upTo       uint64 // where that ends
	begun      time.Time
	opened     uint64 // number of the record that was shipped meanwhile; 0: none
	ending     bool
	prev, next *Call // in the order they began
}

// Begun tells whether the call was written.
func (c *Call) Begun() bool { return c.place > 0 }

// calls are those that run and whose decision is needed: in the order they began.
type calls struct{ first, last *Call }

func (l *calls) add(c *Call) {
	c.prev = l.last
	if l.last == nil {
		l.first = c
	} else {
		l.last.next = c
	}
	l.last = c
}

// oldest gives the call that has run longest and is not about to end; nil: none.
func (l *calls) oldest() *Call {
	c := l.first
	for c != nil && c.ending {
		c = c.next
	}
	return c
}

// end has a call left alone until it is removed, and gives the number of the record that was shipped of it.
func (l *calls) end(c *Call) (opened uint64) {
	c.ending = true
	return c.opened
}

// remove takes a call out; one that is not in is left as it is.
func (l *calls) remove(c *Call) {
	switch {
	case c.prev != nil:
		c.prev.next = c.next
	case l.first == c:
		l.first = c.next
	default:
		return
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.last = c.prev
	}
	c.prev, c.next = nil, nil
}
