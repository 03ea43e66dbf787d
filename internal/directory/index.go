package directory

import (
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// ErrNotLoaded is returned by every look-up before the first load has been committed: the answer is not known, which is
// another thing than knowing that there is no such row.
var ErrNotLoaded = errors.New("the directory is not loaded yet")

// Index serves the directory from memory: who owns a key, which subscription an application has. Look-ups fill the value
// they are given, allocate nothing, wait for no other look-up, and cost about the same for ten rows as for a million.
//
// Strings and slices that a look-up hands out are shared and never change: they may be kept, but not written to. Times
// are kept to the millisecond, as in the store.
//
// Writes may come from one goroutine or many; internal/follow makes them from the store's changes. A million keys take
// about 130 bytes each, without pointers that the garbage collector would have to follow.
type Index struct {
	now atomic.Pointer[generation]
}

// generation is one load of the directory, changed in place from then on and replaced as a whole by the next load.
type generation struct {
	seed          maphash.Seed
	words         words // applications, APIs, versions, plans: what occurs many times is kept once
	scopes        sets
	keys          [keyShards]keyShard
	tenants       named[Tenant]
	applications  named[Application]
	credentials   named[Credential]
	matches       named[string] // what certificates are known by, to the credential's id
	subscriptions [subscriptionShards]subscriptionShard
	targets       [subscriptionShards]targetShard
}

func newGeneration() *generation {
	g := &generation{seed: maphash.MakeSeed()}
	g.words.init()
	g.scopes.init()
	g.tenants.init(g.seed)
	g.applications.init(g.seed)
	g.credentials.init(g.seed)
	g.matches.init(g.seed)
	return g
}

// NewIndex returns an index that knows nothing and says so: look-ups return ErrNotLoaded until a Load is committed.
func NewIndex() *Index { return &Index{} }

// Load is a new load of the whole directory. It is filled beside the one being served, and replaces it when committed.
type Load struct {
	ix *Index
	g  *generation
}

// Begin starts a load. An abandoned one is garbage.
func (ix *Index) Begin() *Load { return &Load{ix, newGeneration()} }

// PutTenant adds a tenant.
func (l *Load) PutTenant(t Tenant) { l.g.tenants.put(t.ID, t) }

// PutApplication adds an application.
func (l *Load) PutApplication(a Application) { l.g.putApplication(a) }

// PutKey adds a key.
func (l *Load) PutKey(k Key) { l.g.putKey(&k) }

// PutSubscription adds a subscription.
func (l *Load) PutSubscription(s Subscription) { l.g.putSubscription(&s) }

// Commit makes the load the directory that is served. What was put into the index itself since Begin is not in it.
func (l *Load) Commit() { l.ix.now.Store(l.g) }

// loaded is the directory being served.
func (ix *Index) loaded() (*generation, error) {
	if g := ix.now.Load(); g != nil {
		return g, nil
	}
	return nil, ErrNotLoaded
}

// PutTenant adds or replaces a tenant. Like every write it fails with ErrNotLoaded before the first load.
func (ix *Index) PutTenant(t Tenant) error {
	g, err := ix.loaded()
	if err == nil {
		g.tenants.put(t.ID, t)
	}
	return err
}

// DeleteTenant removes a tenant, and nothing that belongs to it: its applications are changes of their own.
func (ix *Index) DeleteTenant(id string) error {
	g, err := ix.loaded()
	if err == nil {
		g.tenants.delete(id)
	}
	return err
}

// PutApplication adds or replaces an application.
func (ix *Index) PutApplication(a Application) error {
	g, err := ix.loaded()
	if err == nil {
		g.putApplication(a)
	}
	return err
}

// DeleteApplication removes an application, and nothing that belongs to it.
func (ix *Index) DeleteApplication(id string) error {
	g, err := ix.loaded()
	if err == nil {
		g.applications.delete(id)
	}
	return err
}

// PutKey adds a key, or replaces the one with the same hash. A key whose hash has changed must be deleted first.
func (ix *Index) PutKey(k Key) error {
	g, err := ix.loaded()
	if err == nil {
		g.putKey(&k)
	}
	return err
}

// DeleteKey removes the key with that id and hash. When the hash belongs to another key by now, nothing happens.
func (ix *Index) DeleteKey(id string, hash [32]byte) error {
	g, err := ix.loaded()
	if err == nil {
		g.deleteKey(id, &hash)
	}
	return err
}

// PutSubscription adds or replaces a subscription, which may have moved to another API or version.
func (ix *Index) PutSubscription(s Subscription) error {
	g, err := ix.loaded()
	if err == nil {
		g.putSubscription(&s)
	}
	return err
}

// DeleteSubscription removes a subscription.
func (ix *Index) DeleteSubscription(id string) error {
	g, err := ix.loaded()
	if err == nil {
		g.deleteSubscription(id)
	}
	return err
}

// Tenant finds a tenant.
func (ix *Index) Tenant(id string, into *Tenant) (bool, error) {
	g, err := ix.loaded()
	if err != nil {
		return false, err
	}
	return g.tenants.get(id, into), nil
}

// Application finds an application.
func (ix *Index) Application(id string, into *Application) (bool, error) {
	g, err := ix.loaded()
	if err != nil {
		return false, err
	}
	return g.applications.get(id, into), nil
}

// Key finds the key with that SHA-256.
func (ix *Index) Key(hash *[32]byte, into *Key) (bool, error) {
	g, err := ix.loaded()
	if err != nil {
		return false, err
	}
	return g.key(hash, into), nil
}

// Subscription finds the application's subscription to that version of the API or, when there is none, to all its versions.
func (ix *Index) Subscription(application, api, version string, into *Subscription) (bool, error) {
	g, err := ix.loaded()
	if err != nil {
		return false, err
	}
	return g.subscription(application, api, version, into) || g.subscription(application, api, "*", into), nil
}

// Count is how many rows the index holds.
type Count struct {
	Tenants, Applications, Keys, Subscriptions int
}

// Count counts the rows being served; zero before the first load.
func (ix *Index) Count() Count {
	g, err := ix.loaded()
	if err != nil {
		return Count{}
	}
	c := Count{Tenants: g.tenants.len(), Applications: g.applications.len()}
	for i := range g.keys {
		c.Keys += g.keys[i].size()
	}
	for i := range g.subscriptions {
		c.Subscriptions += g.subscriptions[i].size()
	}
	return c
}

// putApplication keeps words that many applications share once.
func (g *generation) putApplication(a Application) {
	a.Tenant = g.words.text(g.words.number(a.Tenant))
	a.Roles = g.scopes.set(g.scopes.number(a.Roles))
	g.applications.put(a.ID, a)
}

// named holds rows that are found by their id and are few enough to be kept as they are.
type named[T any] struct {
	seed   maphash.Seed
	shards [64]struct {
		sync.RWMutex
		rows map[string]T
	}
}

func (n *named[T]) init(seed maphash.Seed) { n.seed = seed }

func (n *named[T]) shard(id string) int {
	return int(maphash.String(n.seed, id) % uint64(len(n.shards)))
}

func (n *named[T]) put(id string, row T) {
	s := &n.shards[n.shard(id)]
	s.Lock()
	defer s.Unlock()
	if s.rows == nil {
		s.rows = map[string]T{}
	}
	s.rows[id] = row
}

func (n *named[T]) delete(id string) {
	s := &n.shards[n.shard(id)]
	s.Lock()
	defer s.Unlock()
	delete(s.rows, id)
}

func (n *named[T]) get(id string, into *T) bool {
	s := &n.shards[n.shard(id)]
	s.RLock()
	row, ok := s.rows[id]
	s.RUnlock()
	if ok {
		*into = row
	}
	return ok
}

func (n *named[T]) len() (total int) {
	for i := range n.shards {
		s := &n.shards[i]
		s.RLock()
		total += len(s.rows)
		s.RUnlock()
	}
	return total
}
