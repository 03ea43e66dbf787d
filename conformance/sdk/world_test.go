package sdk

import (
	"fmt"
	"testing"

	"postern/conformance/gateway"
)

const document = `
postern: 1
listeners:
  - name: plain
    address: %[1]s
roles:
  model-user: {permissions: ["models:use"]}
plans:
  wide:
    limits: [{name: wide, rate: {requests: 1000, per: 1s, burst: 1000}}]
  narrow:
    limits: [{name: narrow, rate: {requests: 1, per: 2s, burst: 1}}]
upstreams:
  provider:
    targets: [{url: "%[2]s"}]
    credential: {header: Authorization, value: "Bearer ${env:PROVIDER_KEY}"}
  dead:
    targets: [{url: "http://%[3]s"}]
    credential: {header: Authorization, value: "Bearer ${env:PROVIDER_KEY}"}
models:
  fast:
    upstream: provider
    name: vendor-large
    owner: conformance
    prices: [{version: "2026-11", input: "0.15", cached_input: "0.075", output: "0.60", reasoning: "2.40"}]
  dead:
    upstream: dead
    prices: [{version: "2026-11", input: "1", output: "1"}]
  unpriced: {upstream: provider, name: vendor-large}
apis:
  - name: llm
    kind: llm
    versions:
      - version: v1
        base_path: /v1
        llm: {dialect: openai, permission: "models:use"}
`

// world is a gateway with a provider behind it and applications of every kind before it.
type world struct {
	process  *gateway.Process
	manager  *gateway.Manager
	provider *Provider
	base     string // of the SDKs
	// Keys: of an application that may, of one without the permission, of one with a rate of one call in two seconds, and
	// one that was revoked.
	good, bare, narrow, revoked string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{provider: NewProvider(t, "sk-provider-canary-2c1f7a90d4")}
	address := gateway.FreeAddress(t)
	w.process = gateway.Start(t, gateway.Options{
		Config: fmt.Sprintf(document, address, w.provider.URL, gateway.FreeAddress(t)),
		Env:    map[string]string{"PROVIDER_KEY": w.provider.Credential},
	})
	w.base = "http://" + address + "/v1"
	w.manager = w.process.Manage()
	w.manager.Tenant("acme")
	w.manager.Application("good", "acme", []string{"model-user"}, []string{"llm"}, "wide")
	w.manager.Application("bare", "acme", nil, []string{"llm"}, "wide")
	w.manager.Application("narrow", "acme", []string{"model-user"}, []string{"llm"}, "narrow")
	_, w.good = w.manager.Key("good")
	_, w.bare = w.manager.Key("bare")
	_, w.narrow = w.manager.Key("narrow")
	var id string
	id, w.revoked = w.manager.Key("good")
	w.manager.Do("DELETE", "/api/v1/keys/"+id, nil, nil)
	return w
}
