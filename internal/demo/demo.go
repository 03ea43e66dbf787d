// Package demo is what `postern demo` shows: a small orders service and a small model server that listen on loopback,
// a configuration that puts them behind the gates, and directory data to call them with.
//
// Both services are real HTTP servers, so that what is seen is what a deployment does; they keep nothing on disk.
package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

//go:embed demo.yaml
var document string

// Backends are the two running services.
type Backends struct {
	Orders, Models string // host:port
	servers        []*http.Server
}

// Preferred addresses: stable, so that a saved demo configuration still fits after a restart.
const (
	preferredOrders = "127.0.0.1:9101"
	preferredModels = "127.0.0.1:9102"
)

// Start listens on loopback, on the preferred ports or, when they are taken, on free ones.
func Start() (*Backends, error) {
	b := &Backends{}
	for _, s := range []struct {
		address *string
		prefer  string
		handler http.Handler
	}{{&b.Orders, preferredOrders, NewOrders()}, {&b.Models, preferredModels, NewModels()}} {
		l, err := net.Listen("tcp", s.prefer)
		if err != nil {
			l, err = net.Listen("tcp", "127.0.0.1:0")
		}
		if err != nil {
			b.Stop(context.Background())
			return nil, fmt.Errorf("demo: listen on loopback: %w", err)
		}
		*s.address = l.Addr().String()
		server := &http.Server{Handler: s.handler, ReadHeaderTimeout: 5 * time.Second}
		b.servers = append(b.servers, server)
		go func() { _ = server.Serve(l) }() // ends with Stop
	}
	return b, nil
}

// Stop lets requests in progress finish until ctx ends.
func (b *Backends) Stop(ctx context.Context) error {
	var err error
	for _, s := range b.servers {
		err = errors.Join(err, s.Shutdown(ctx))
	}
	return err
}

// Document is the configuration in front of the services, with the gateway on the given address.
func (b *Backends) Document(gateway string) []byte {
	return []byte(strings.NewReplacer(
		preferredOrders, b.Orders, preferredModels, b.Models, "127.0.0.1:8080", gateway,
	).Replace(document))
}
