package node

import (
	"slices"
	"time"

	"streamgate/node/cluster"
)

// now is the deployment's clock: that of its records, by what was last known of
// it. Nodes whose own clocks differ so agree on when a ticket ends.
func (k *Kernel) now() time.Time {
	by := time.Duration(k.ahead.Load())
	if by.Abs() <= maxDrift {
		return time.Now() // as exact as asking was
	}
	return time.Now().Add(by)
}

// clockOff is what is wrong with this machine's clock, if it is too far from that of
// the records for the node to serve others.
func (k *Kernel) clockOff() error { return skewed(time.Duration(k.ahead.Load())) }

// maxDrift is how far off the clock of the records must be for its time to count.
const maxDrift = 2 * time.Second

// share tells which of the nodes with a role this one is, and how many there are;
// nil in a monolith, which is alone.
func (k *Kernel) share(role Role) func() (index, of int) {
	if !k.clustered() {
		return nil
	}
	return func() (int, int) { return shareOf(k.Registry.Instances(), role, k.NodeID) }
}

// shareOf is share among known nodes. One that is not known itself, yet, takes part
// all the same: work done twice does no harm, work that nobody does may.
func shareOf(nodes []cluster.Instance, role Role, self string) (index, of int) {
	ids := []string{self}
	for i := range nodes {
		if nodes[i].Has(string(role)) && !slices.Contains(ids, nodes[i].ID) {
			ids = append(ids, nodes[i].ID)
		}
	}
	slices.Sort(ids)
	return slices.Index(ids, self), len(ids)
}
