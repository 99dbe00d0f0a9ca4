// Package files keeps objects as files in a directory.
//
// # What
//
// Store implements store.Objects. An object's key is its path below the
// directory, so an operator finds a video's files with ls. It is the default
// of a node that stands alone.
//
// # Usage
//
//	objects, err := files.Open(filepath.Join(dataDir, "media"))
//
// One process may have a directory open at a time; the node's database lock
// sees to that.
//
// # Guarantees
//
// An object appears whole or not at all: its bytes are written beside the
// tree (in ~tmp, a name no key can have), synced, and moved into place, and
// the folder is synced before Put returns. A crash leaves nothing but files in
// ~tmp, which Open removes. Delete takes the whole prefix away in one step.
//
// No key leads out of the directory: keys are checked against the contract's
// alphabet before they become paths.
//
// # Testing
//
// The suite of store/storetest runs on a temporary directory; FuzzKey looks
// for keys that escape.
package files
