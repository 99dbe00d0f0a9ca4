package storetest

import (
	"testing"

	"streamgate/store"
)

func TestModel(t *testing.T) {
	TestQueue(t, func(_ *testing.T, clock *Clock) store.Queue { return NewQueue(clock.Now) })
}
