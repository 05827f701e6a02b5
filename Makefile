# Every target is a command that can be typed by hand; `make help` lists them.
# Variables: SEED, RUNS and TIME for sim and fuzz, N and RUNS for bench, PKG for
# what unit, test, race and micro cover.

PKG     ?= ./...
SEED    ?=
RUNS    ?=
TIME    ?= 30s
N       ?= 1000000
ORDERS  ?= 200000
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
GOLDEN   = $(shell grep -rl 'cockroachdb/datadriven"' --include='*_test.go' . | xargs -r -n1 dirname | sort -u)
SOURCES  = $(shell git ls-files -co --exclude-standard '*.go' | grep -v '\.pb\.go$$')

.DEFAULT_GOAL := help
.PHONY: help build unit test negative race sim fuzz integration chain bench micro lint lint-full fmt fix generate \
	golden check up down load clean hooks

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the binary, into bin/tally
	go build -trimpath -o bin/tally ./cmd/tally

unit: ## fast tests: no Docker, no network, under a minute on two cores
	go test -short -parallel 8 $(PKG)

test: negative ## everything that this machine can run: unit, simulation, real brokers
	go test -timeout 60m $(PKG)

negative: ## with the guard of engine/guard.go taken away, its test has to fail
	go vet -tags unguarded ./engine
	@! go test -tags unguarded -count=1 -run TestUnknownOutcome ./engine >/dev/null 2>&1 || { echo 'TestUnknownOutcome passes without the guard'; exit 1; }

race: ## the fast tests under the race detector
	go test -short -race -timeout 30m $(PKG)

sim: ## the simulation: make sim SEED=7, make sim RUNS=1000
	SIM_SEED=$(SEED) SIM_RUNS=$(RUNS) go test -count=1 -timeout 0 -v ./test/simulation/...

fuzz: ## every fuzz target for TIME each
	@grep -roE '^func Fuzz[A-Za-z0-9]*' --include='*_test.go' . | sed -E 's|/[^/]*_test.go:func | |' | while read -r dir f; do echo "fuzz $$dir $$f" && go test "$$dir" -run '^$$' -fuzz "^$$f\$$" -fuzztime $(TIME) || exit 1; done

integration: ## the whole-system suite on the real brokers; one must be there
	KAFKA_TESTS=required go test -count=1 -timeout 60m -v ./test/integration/... ./test/kafkatest/...

chain: ## the whole chain on a real broker with kills, judged by an oracle: make chain ORDERS=200000
	KAFKA_TESTS=required TALLY_CHAIN_ORDERS=$(ORDERS) go test -count=1 -timeout 60m -v -run 'TestChain$$' ./test/integration

bench: ## a worker beside the floor, on a real broker: make bench N=1000000 RUNS=3
	BENCH_N=$(N) BENCH_RUNS=$(RUNS) go test -count=1 -timeout 0 -v -run TestThroughput ./test/bench

micro: ## micro benchmarks of the parts: decisions, codecs, tables, the hash
	go test -run '^$$' -bench . -benchmem $(PKG)

lint: ## format, vet, staticcheck, tidy modules, house rules
	@test -z "$$(go tool gofumpt -l $(SOURCES) | tee /dev/stderr)" || { echo 'run: make fmt'; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff
	go test ./test/tidy

lint-full: ## golangci-lint, built from source at first: slow, so no gate
	go tool -modfile=tools/go.mod golangci-lint run

fmt: ## format all Go files that are not generated
	go tool gofumpt -l -w $(SOURCES)

fix: ## the modernizers of this Go version
	go fix ./...

generate: ## generated code, from its sources
	go generate ./...

golden: ## rewrite the expected outputs of the data-driven tests; read the diff
	go test $(GOLDEN) -rewrite

check: lint unit ## what a commit must pass: lint, unit, and generated code that is fresh
	@go generate ./... && git diff --exit-code --stat -- '*.pb.go' || { echo 'generated code was stale: commit it'; exit 1; }

up: ## a Kafka and two workers in containers
	$(COMPOSE) up -d --build

down: ## stop them and forget their data
	$(COMPOSE) down -v

load: ## generated orders and payments into that Kafka
	go run ./cmd/tally load --generate --brokers localhost:9092

clean: ## remove what builds and tests left
	rm -rf bin .cache/test && go clean -testcache

hooks: ## run `make check` before each commit
	@printf '#!/bin/sh\nexec make check\n' > "$$(git rev-parse --git-path hooks)/pre-commit"
	@chmod +x "$$(git rev-parse --git-path hooks)/pre-commit" && echo 'make check runs before each commit'
