package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/decision"
	"postern/internal/pdp"
	"postern/internal/policy"
	"postern/internal/snapshot"
	"postern/internal/store"
)

// Config is the running configuration and the one way to change it.
type Config interface {
	// Current returns the running document, its source as it was written, and its generation; 0 when there is none yet.
	Current() (doc *policy.Document, source []byte, generation uint64)
	// Apply walks a change: parse, compile, append as generation base+1, swap; with dry it stops before the append and
	// returns base. Errors: policy.Problems when the document does not compile, store.ErrConflict when base is no longer
	// the current generation; anything else is a fault. The audit entry is written in the transaction of the append.
	Apply(ctx context.Context, base uint64, source []byte, actor, from, comment string, dry bool) (uint64, error)
}

// Lab answers questions about requests. What it returns is written as JSON.
type Lab interface {
	// Explain says why a recorded request was decided as it was, cut to what the asker may be told. ErrNotFound of
	// package store when there is no such record.
	Explain(ctx context.Context, trace decision.TraceID, asker decision.Disclosure) (any, error)
	// Simulate judges a request without sending or spending anything. An error of type *InputError is the asker's mistake.
	Simulate(ctx context.Context, r SimulateRequest) (any, error)
}

// SimulateRequest is a request to be judged.
type SimulateRequest struct {
	Request string // as people have it: a curl command, a raw HTTP message, an .http file or a HAR entry
	Hint    string // curl, raw, http or har; empty: found out
	Client  string // address it would come from; empty: loopback
	Config  []byte // a candidate document; empty: the running one

	// What is supposed. Of Application and Key at most one is set; User is whom the application acts for.
	Application, User, Key string
	At                     time.Time // zero: now
	Without                []string  // gates
}

// Matrixer is a Lab that can say who may call what.
type Matrixer interface {
	// Matrix asks for every operation and application. The request of r is not looked at.
	Matrix(ctx context.Context, r SimulateRequest) (any, error)
}

// InputError is a mistake in what the caller sent, worded for the caller.
type InputError struct {
	Message string
	Remedy  string
}

// Error implements error.
func (e *InputError) Error() string { return e.Message }

// Options is what the API stands on. Store, Config and Now are needed, the rest may be left out.
type Options struct {
	Store      store.Store
	Records    store.Records
	Config     Config
	Lab        Lab                           // nil: explain and simulate answer 503
	Changed    func()                        // called after every committed change of the directory, so that it acts at once
	Operations func() []snapshot.Operation   // of the running snapshot
	Decisions  func(set string) *pdp.Service // sets that answer AuthZEN; nil: none
	Status     func() any                    // what GET /status tells besides version, uptime and generation
	Ready      func() []string               // why this node is not ready; empty when it is
	Gatherer   prometheus.Gatherer           // what /metrics shows
	Hosts      []string                      // names the listener may be called by, besides localhost and IP addresses
	Version    string
	Now        func() time.Time
	Logger     *slog.Logger
}

// Server is the management API. Make one with New.
type Server struct {
	Options
	api       huma.API
	mux       *http.ServeMux
	handler   http.Handler
	openapi   []byte
	passwords *passwords
	addresses *throttle
	accounts  *throttle
	started   time.Time
}

// maxBody bounds the bodies of all routes but those that carry a document.
const maxBody = 1 << 20

// maxDocument bounds a configuration document.
const maxDocument = 16 << 20

// New builds the API. It fails when a needed option is missing.
func New(o Options) (*Server, error) {
	if o.Store == nil || o.Config == nil || o.Now == nil {
		return nil, errors.New("admin: Store, Config and Now are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Version == "" {
		o.Version = "devel"
	}
	s := &Server{
		Options:   o,
		mux:       http.NewServeMux(),
		passwords: newPasswords(min(4, runtime.GOMAXPROCS(0)), 64),
		addresses: newThrottle(10, 6*time.Second, 20_000),
		accounts:  newThrottle(10, 6*time.Second, 20_000),
		started:   o.Now(),
	}
	s.api = humago.New(s.mux, apiConfig(o.Version))
	s.registerAll()
	spec, err := s.api.OpenAPI().MarshalJSON()
	if err != nil {
		return nil, err
	}
	s.openapi = spec
	s.handler = s.guard(s.mux)
	return s, nil
}

// registerAll mounts every route: the API, the probes and the pages.
func (s *Server) registerAll() {
	s.registerSession()
	s.registerConfig()
	s.registerGenerations()
	s.registerTenants()
	s.registerApplications()
	s.registerKeys()
	s.registerCredentials()
	s.registerSubscriptions()
	s.registerUsers()
	s.registerTokens()
	s.registerAudit()
	s.registerRecords()
	s.registerLab()
	s.registerAuthZEN()
	s.registerReasons()
	s.registerStatus()
	s.registerProbes()
	s.registerPages()
}

// Handler returns the API as a handler for the management listener.
func (s *Server) Handler() http.Handler { return s.handler }

// OpenAPI returns the OpenAPI 3.1 description as JSON.
func (s *Server) OpenAPI() []byte { return s.openapi }

// apiConfig is huma without its pages (which load scripts from elsewhere) and without the $schema members it adds.
func apiConfig(version string) huma.Config {
	strict := huma.Format{Marshal: writeJSON, Unmarshal: unmarshalStrict}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Postern management API",
				Version:     version,
				Description: "Configuration, directory, records and explanations of a Postern gateway. Errors are problem+json (RFC 9457).",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer":  {Type: "http", Scheme: "bearer", Description: "An API token, a session opened as bearer, or the bootstrap token."},
					"session": {Type: "apiKey", In: "cookie", Name: cookieName, Description: "A session of the console."},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": strict, "json": strict},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
}
