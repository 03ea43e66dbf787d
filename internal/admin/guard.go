package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// patience bounds how long one request of the API may take.
const patience = 30 * time.Second

// guard stands before every route: it answers panics, refuses foreign Host names and origins, and sets the fields that
// keep browsers strict.
func (s *Server) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, problem(403, "cross_origin", "A page of another origin sent this request.",
			"Use the console on this address, or send the request from a program without an Origin field."))
	}))
	inner := origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if !s.hostAllowed(r.Host) {
			writeProblem(w, problem(421, "host_unknown", "This listener is not called by that name.",
				"Use localhost, its IP address, or add the name to the management listener's host names."))
			return
		}
		// A handler may still answer after this, but nothing it asks of the store outlives it.
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		inner.ServeHTTP(w, r.WithContext(ctx))
	})
}

// recovered answers a panic with a fault, unless it is the one by which handlers abort a connection.
func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	s.Logger.Error("management API panic", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	writeProblem(w, problem(500, "fault", "The gateway could not carry this out, by a fault of its own.",
		"Report this defect with the gateway's log."))
}

// hostAllowed stops DNS rebinding: a page of evil.example whose name was pointed at this address calls us by that name.
// An IP address in Host is fine, because a browser then shows, and isolates by, the address itself.
func (s *Server) hostAllowed(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.ContainsFunc(s.Hosts, func(h string) bool {
		return strings.EqualFold(h, name)
	})
}

// clientAddress is the address that connected, without its port. Forwarding fields are not believed here: the management
// listener is not meant to stand behind a proxy that others can reach.
func clientAddress(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap().WithZone("")
}
