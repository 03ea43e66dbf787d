package sqlite

import (
	"testing"

	"postern/internal/store"
	"postern/internal/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir(), Options{}) })
}
