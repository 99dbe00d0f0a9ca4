package cluster

import "errors"

// ErrDuplicate means that another process with this node's identity is alive.
var ErrDuplicate = errors.New("another node with this identity is running")
