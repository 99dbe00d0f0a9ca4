// Package storetest holds the conformance suites of the store contracts, and
// fakes for those who use them.
//
// # What
//
// One suite for each contract: TestQueue, TestTable, TestPlans, TestSecrets,
// TestCatalog, TestObjects, TestCache. They check every duty that the comments
// of the interfaces in package store state, concurrent use and cancelled
// contexts included; TestQueue also compares a backend step by step with
// Queue, a model short enough to be read.
//
// # Usage
//
// A backend's test is a few lines. Each subtest opens an empty store of its
// own, on the clock it is given:
//
//	func TestQueue(t *testing.T) {
//		storetest.TestQueue(t, func(t *testing.T, clock *storetest.Clock) store.Queue {
//			return open(t, clock.Now).Queue()
//		})
//	}
//
// For the tests of services there are hostile stores: Faulty makes an Objects
// fail, stall or commit late.
//
// # Guarantees
//
// The suites never sleep: time is the Clock's, which only the suite moves.
// They never skip.
//
// # Testing
//
// The model runs TestQueue and a healthy Faulty runs TestObjects, so suite and
// model check each other.
package storetest
