# Gatehouse. `make help` lists the targets; each says what it does in one line.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MODULES := proto shared services
# Go's caches keep what has not changed; tests that need Postgres find it through scripts/postgres.sh.
GO_TEST := go test -timeout 25m

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | awk -F'\t' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: run
run: setup ## start the suite with its lab; prints commands to paste; Ctrl-C stops it
	@go build -o bin/ ./services/cmd/suite && mv -f bin/suite bin/gatehouse-suite
	@exec bin/gatehouse-suite --lab

.PHONY: setup
setup:
	@scripts/postgres.sh
	@command -v curl >/dev/null || scripts/apt.sh curl

.PHONY: build
build: ## build all binaries into bin/
	@mkdir -p bin
	@for cmd in config introspection gateway ratelimit audit suite; do go build -trimpath -o bin/gatehouse-$$cmd ./services/cmd/$$cmd; done
	@go build -trimpath -o bin/gatehousectl ./services/cmd/gatehousectl

.PHONY: test
test: setup ## all tests; some ten minutes the first time, most of it 54 leader kills
	@$(GO_TEST) ./proto/... ./shared/... ./services/...

.PHONY: short
short: setup ## the quick tests, under a minute once built: one service at a time, nothing that is killed or takes seconds (testkit.Long)
	@$(GO_TEST) -short -p 3 -parallel 6 -skip 'Slow|H2Spec|Kill|Restart|OutOfDisk|EachVersion|Restore|PutBack|LongTransaction' $$(go list ./shared/... ./services/... | grep -vE '/(suite|cmd/[a-z]+|testkit|postgres)$$')

.PHONY: race
race: setup ## all tests under the race detector
	@$(GO_TEST) -race ./shared/... ./services/...

.PHONY: e2e
e2e: setup ## the tests of the whole suite, uncached
	@$(GO_TEST) -count=1 ./services/suite/...

.PHONY: chaos
chaos: setup ## kill -9 of everything under load for CHAOS (default 120s), then the trail is held against what was seen
	@$(GO_TEST) -count=1 -v -run '^TestKillAnything$$' ./services/suite/ -chaos $${CHAOS:-120s} 2>&1 | grep -E '^(---|ok|FAIL)|_test.go'

.PHONY: bench
bench: setup ## benchmarks, with the ratios that are promised
	@go test -run '^$$' -bench . -benchtime 1s -count 1 ./shared/eventlog/ ./shared/configlog/ ./shared/tokenlog/ ./shared/ask/ ./services/...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 20s) each
	@scripts/fuzz.sh $${FUZZTIME:-20s}

.PHONY: check
check: lint generate-check tidy-check test build ## what CI runs

.PHONY: tools
tools: ## build the pinned tools into a kept folder and print it
	@scripts/tools.sh

.PHONY: lint
lint: ## golangci-lint and buf lint
	@tools=$$(scripts/tools.sh); for m in shared services; do (cd $$m && $$tools/golangci-lint run --config ../.golangci.yml ./...); done; cd proto && $$tools/buf lint

.PHONY: fmt
fmt: ## format Go and proto files
	@tools=$$(scripts/tools.sh); for m in shared services; do (cd $$m && $$tools/golangci-lint fmt --config ../.golangci.yml ./...); done; cd proto && $$tools/buf format -w

.PHONY: generate
generate: ## regenerate code from proto/
	@tools=$$(scripts/tools.sh); cd proto && PATH=$$tools:$$PATH $$tools/buf generate

.PHONY: generate-check
generate-check: ## fail when generated code is not what the contracts give
	@scripts/generate-check.sh

.PHONY: tidy-check
tidy-check: ## fail when a go.mod is not tidy, or a module does not build on its own
	@for m in $(MODULES) tools; do (cd $$m && GOWORK=off go mod tidy -diff); done
	@for m in $(MODULES); do (cd $$m && GOWORK=off go build ./...); done

.PHONY: up
up: ## the suite as separate processes, by docker compose
	@docker compose up --build -d

.PHONY: down
down: ## stop what up started; the data stays
	@docker compose down
