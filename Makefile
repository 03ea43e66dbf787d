# Two commands for a new machine: `make run` and `make test`. Each does all of its own set-up.

GO      ?= go
BIN     := bin/postern
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZ    ?= 5s

export CGO_ENABLED = 0

.PHONY: run build test unit race check conformance bench fmt vet lint generate generated fuzz clean

run: build ## start Postern with a demo
	./$(BIN) demo

build:
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/postern

test: build race quick-conformance ## everything that must pass before a change lands

unit: ## the tests without the race detector, for a quick look
	$(GO) test ./...

race:
	@scripts/need gcc=gcc
	CGO_ENABLED=1 $(GO) test -race -timeout 10m ./...

quick-conformance: build
	@scripts/need node=nodejs npm=npm
	cd conformance && POSTERN=$(CURDIR)/$(BIN) ./run quick

conformance: build ## the long public suites
	@scripts/need node=nodejs npm=npm
	cd conformance && POSTERN=$(CURDIR)/$(BIN) ./run all
	POSTERN_CORPUS=1 $(GO) test -count=1 -v -run Corpus ./internal/pdp

bench: build ## Postern beside nginx, HAProxy and a tuned stdlib proxy
	@scripts/need nginx=nginx-light haproxy=haproxy
	cd bench && POSTERN=$(CURDIR)/$(BIN) $(GO) run . $(BENCH)

check: fmt vet lint generated test fuzz ## everything CI could object to

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt: $$out"; exit 1; }

vet:
	$(GO) vet ./...

lint:
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

generate:
	$(GO) generate ./...

generated: generate ## generated files are up to date
	@git diff --exit-code -- docs/reasons internal/policy/schema.json || { echo "generated files are stale: commit what 'make generate' made"; exit 1; }

fuzz: ## every fuzz target for a few seconds
	@scripts/fuzz $(FUZZ)

clean:
	rm -rf bin .cache
