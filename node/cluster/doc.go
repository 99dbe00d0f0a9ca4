// Package cluster is how the nodes of one deployment find each other, trust each
// other and call each other.
//
// # What
//
//	registry.go  which nodes there are: the interface, and Static for a node alone
//
// It knows nodes and roles by name only, and nothing of what they serve.
package cluster
