// Package upstream is the way to the nodes: a pool of connections to each, their health, and one HTTP/1.1
// exchange at a time.
//
// It is our own because two things matter here that net/http's Transport does not give: the request line goes
// up byte for byte as the client sent it, and a call costs no goroutine and no channel, so that a gateway
// which authenticates costs no more than a stock reverse proxy that does not. What can be left to the
// standard library is: replies, their framing and their trailers are read by net/http and net/textproto.
//
//	node refuses or resets the connection  Unreachable; nothing was sent, another node may be tried
//	kept connection closed by the node     a call that may be repeated is sent again on a fresh connection
//	no reply header in time                Timeout; the time begins when all of the call was sent
//	node takes nothing more of a body      as no reply in time
//	node ends in the middle of a reply     the body's Read fails; the client's connection is cut, so that it
//	                                       cannot take half a reply for a whole one
//	node answers before the body is sent   the reply is passed on, the connection is closed afterwards
//	client goes away                       the connection to the node is closed: the node sees it
package upstream
