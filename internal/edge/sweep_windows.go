package edge

import "net"

// presence is not known here: a caller that left is noticed when the answer is written.
func presence(*net.TCPConn) peerState { return peerThere }
