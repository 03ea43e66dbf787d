package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/demo"
)

func newDemoCommand(a *app) *cobra.Command {
	var f serveFlags
	var gateway string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run Postern with a sample orders API and a sample model server",
		Long: `Run Postern in front of a sample orders API and a small model server, all on loopback, with a tenant, two applications and
their keys. It prints what to try. The keys are new at every start; everything else is kept in the data folder.`,
		Example: "  postern demo\n  postern demo --data /tmp/demo --gateway 127.0.0.1:9080 --admin 127.0.0.1:9081",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.demo(c.Context(), f, gateway)
		},
	}
	f.register(c, "data/demo")
	f.logLevel = "warn"
	c.Flags().StringVar(&gateway, "gateway", "127.0.0.1:8080", "address of the gateway")
	return c
}

func (a *app) demo(ctx context.Context, f serveFlags, gateway string) error {
	backends, err := demo.Start()
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = backends.Stop(stop) // the process ends anyway
	}()
	if _, set := os.LookupEnv("DEMO_MODEL_KEY"); !set {
		if err := os.Setenv("DEMO_MODEL_KEY", "demo-provider-credential"); err != nil {
			return err
		}
	}
	f.demo = backends.Document(gateway)
	return a.serve(ctx, f, func(ctx context.Context, n *node) error {
		keys, err := demo.Seed(ctx, n.db, time.Now())
		if err != nil {
			return err
		}
		n.sync()
		fmt.Fprint(a.stdout, tryThis(gateway, f.admin, n.bootstrap, keys))
		return nil
	})
}

// tryThis is what the demo prints: the addresses, then a request that passes, one that is refused, the remedy, and a chat.
func tryThis(gateway, admin, bootstrap string, keys demo.Keys) string {
	where := ""
	if admin != defaultManagement {
		where = " --address http://" + admin
	}
	return strings.NewReplacer(
		"GATEWAY", "http://"+gateway, "ADMIN", "http://"+admin, "READER", keys.Reader, "WRITER", keys.Writer, "BOOTSTRAP", bootstrap,
		"PROGRAM", os.Args[0], "WHERE", where,
	).Replace(demoText(bootstrap != ""))
}

func demoText(first bool) string {
	text := `
Postern is running.   gateway GATEWAY   management API ADMIN (start page, OpenAPI at /api/openapi.json)

1. Create an order as shop-backend, which may:

  curl -i GATEWAY/orders/v1/orders -H 'X-API-Key: WRITER' \
    -H 'Content-Type: application/json' -d '{"item":"espresso beans","qty":2}'

2. The same as shop-web, which may not, and is told why:

  curl -i GATEWAY/orders/v1/orders -H 'X-API-Key: READER' \
    -H 'Content-Type: application/json' -d '{"item":"espresso beans","qty":2}'

3. A chat completion (any OpenAI SDK works: base URL GATEWAY/v1, key as below):

  curl -i GATEWAY/v1/chat/completions -H 'Authorization: Bearer READER' \
    -H 'Content-Type: application/json' -d '{"model":"demo-small","messages":[{"role":"user","content":"Hello"}]}'

`
	if first {
		text += `The remedy for 2 is a role with orders:create. In another terminal, sign in with the one-time bootstrap token, ask for the
whole story by the trace id in the answer, grant the role, and send 2 again:

  echo BOOTSTRAP | PROGRAM loginWHERE
  PROGRAM explain TRACE
  PROGRAM applications grant shop-web order-writer

bootstrap token: BOOTSTRAP

`
	}
	return text + "Stop with Ctrl-C.\n"
}
