// Package ask puts the questions of gates to other systems by HTTP: who owns a resource, what a decision point says. It keeps
// a slow, broken or hostile system from taking the gateway with it: time, size and how many are asked at once are bounded,
// equal questions are asked once, and answers are remembered as long as the question allows.
package ask

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"postern/internal/gate"
	"postern/internal/policy"
)

const (
	maxAnswer  = 64 << 10
	maxAtOnce  = 256
	maxEntries = 10_000
	maxTimeout = 30 * time.Second
)

// Options is what a Client stands on. The zero value is ready for production.
type Options struct {
	Now     func() time.Time                   // of the memory; default time.Now
	Resolve func(value string) (string, error) // of references to secrets; default environment and files
	// Transport sends; default one of its own that uses no proxy, as what is asked is inside.
	Transport http.RoundTripper
}

// Client is a gate.Asker. Make one with New; Close it.
type Client struct {
	o    Options
	http *http.Client
	room chan struct{}

	mu      sync.Mutex
	known   map[key]entry
	order   []key // of known, oldest first
	flights map[key]*flight
}

type key [sha256.Size]byte

type entry struct {
	said  gate.Said
	until time.Time
}

// flight is a question on its way, and whoever waits for its answer.
type flight struct {
	done chan struct{}
	said gate.Said
	err  error
}

// New returns a client.
func New(o Options) *Client {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Resolve == nil {
		o.Resolve = func(v string) (string, error) { return policy.Resolve(v, os.LookupEnv, os.ReadFile) }
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: 60 * time.Second, TLSHandshakeTimeout: 5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, DisableCompression: true, ForceAttemptHTTP2: true}
	}
	return &Client{o: o, room: make(chan struct{}, maxAtOnce), known: map[key]entry{}, flights: map[key]*flight{},
		http: &http.Client{Transport: o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ask implements gate.Asker.
func (c *Client) Ask(ctx context.Context, q *gate.Question) (gate.Said, error) {
	k := keyOf(q)
	c.mu.Lock()
	if e, ok := c.known[k]; ok && q.Remember > 0 && c.o.Now().Before(e.until) {
		c.mu.Unlock()
		return e.said, nil
	}
	if q.Remembered {
		c.mu.Unlock()
		return gate.Said{}, gate.ErrNotRemembered
	}
	f := c.flights[k]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		c.flights[k] = f
		// The flight outlives a caller that leaves: others wait for it, and its answer is remembered. q may point into the
		// connection of that caller, so that the flight has a copy.
		go c.fly(context.WithoutCancel(ctx), k, f, copyOf(q))
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.said, f.err
	case <-ctx.Done():
		return gate.Said{}, ctx.Err()
	}
}

func copyOf(q *gate.Question) gate.Question {
	d := *q
	d.URL, d.Body = strings.Clone(q.URL), bytes.Clone(q.Body)
	return d
}

// keyOf tells questions apart, by everything that could change the answer.
func keyOf(q *gate.Question) (k key) {
	h := sha256.New()
	for _, part := range []string{q.Method, q.URL, q.Authorization} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	h.Write(q.Body)
	h.Sum(k[:0])
	return k
}

func (c *Client) fly(ctx context.Context, k key, f *flight, q gate.Question) {
	f.said, f.err = c.send(ctx, &q)
	c.mu.Lock()
	delete(c.flights, k)
	if f.err == nil && q.Remember > 0 && settled(f.said.Status) {
		c.remember(k, entry{f.said, c.o.Now().Add(q.Remember)})
	}
	c.mu.Unlock()
	close(f.done)
}

// settled reports whether a status is an answer about the thing asked for, and not about the state of whoever answers.
func settled(status int) bool { return status == 200 || status == 404 || status == 410 }

// remember is called with the lock. The oldest answers make room.
func (c *Client) remember(k key, e entry) {
	if _, ok := c.known[k]; !ok {
		if len(c.order) >= maxEntries {
			n := maxEntries / 10
			for _, old := range c.order[:n] {
				delete(c.known, old)
			}
			c.order = append(c.order[:0:0], c.order[n:]...)
		}
		c.order = append(c.order, k)
	}
	c.known[k] = e
}

var errBusy = fmt.Errorf("%d questions are on their way already", maxAtOnce)

func (c *Client) send(ctx context.Context, q *gate.Question) (gate.Said, error) {
	timeout := q.Timeout
	if timeout <= 0 || timeout > maxTimeout {
		timeout = maxTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not answer within %s", timeout))
	defer cancel()
	select {
	case c.room <- struct{}{}:
		defer func() { <-c.room }()
	default:
		return gate.Said{}, errBusy
	}
	said, err := c.exchange(ctx, q)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return said, err
}

func (c *Client) exchange(ctx context.Context, q *gate.Question) (gate.Said, error) {
	var body io.Reader
	if q.Body != nil {
		body = bytes.NewReader(q.Body)
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, q.URL, body)
	if err != nil {
		return gate.Said{}, errors.New("its address cannot be used")
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "postern")
	if q.Body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if q.Authorization != "" {
		secret, err := c.o.Resolve(q.Authorization)
		if err != nil {
			return gate.Said{}, fmt.Errorf("the credential for it cannot be used: %w", err)
		}
		r.Header.Set("Authorization", secret)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		if u := errors.Unwrap(err); u != nil {
			err = u // without the address, which has what a caller sent
		}
		return gate.Said{}, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return gate.Said{}, fmt.Errorf("reading its answer: %w", err)
	case len(b) > maxAnswer:
		return gate.Said{}, fmt.Errorf("its answer is longer than %d KiB", maxAnswer>>10)
	}
	return gate.Said{Status: answer.StatusCode, Body: b}, nil
}
