# `make test` is what a change has to pass; `make lint` is its fast part.

# Counted, not timed: a target that is stopped by the clock may report the clock as its failure.
FUZZTIME ?= 10000x
GO ?= go

# What a program calls itself: the tag, and what came after it. Empty outside of a checkout: the program then tells what the go command knows.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
# The commit's time, which every file of a release gets.
RELEASE_TIME ?= $(shell git log -1 --format=%ct 2>/dev/null)

# package:target
FUZZ = \
	./call:FuzzEncode ./call:FuzzParseVersion ./call:FuzzCountryOfPhone \
	./push/apns:FuzzParseAnswer ./push/apns:FuzzBuild \
	./push/keyfile:FuzzText ./push/pushkit:FuzzParseAnswer ./push/pushkit:FuzzBuild ./push/pushkit:FuzzCallbackCheck ./push/pushkit/pushkitsim:FuzzSend \
	./push/webhook:FuzzCheckURL ./push/devicesim:FuzzEvents \
	./api:FuzzDecodeInvite ./api:FuzzDecodeReports ./api:FuzzDecodeRegistration ./api:FuzzDecodeConfirm ./api:FuzzDecodeDND ./api:FuzzDecodeReceipts ./api:FuzzDefuse ./api:FuzzSaidBy

.PHONY: test lint race fuzz bench bench-invite bench-register bench-bytes bench-stop bench-apns bench-export postgres pgbouncer openapi node python build release release-check

test: lint openapi postgres pgbouncer node python race fuzz

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "not gofmt'ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -count=1 -run '^TestOpenAPI$$' .

# Other people's tools on openapi.yaml: redocly's lint, where a warning fails too, and types for TypeScript, with which a client compiles.
openapi: tools/openapi/node_modules/.ready
	cd tools/openapi && npm run --silent check

# redocly needs Node 20.19; where the distribution has an older one, npm brings its own.
tools/openapi/node_modules/.ready: tools/openapi/package.json tools/openapi/package-lock.json | node
	cd tools/openapi && npm ci --loglevel=error --no-audit --no-fund
	cd tools/openapi && node -e 'const [a, b] = process.versions.node.split("."); process.exit(a * 100 + +b < 2019)' || npm install --loglevel=error --no-save --no-audit --no-fund node@22.23.3
	@touch $@

# One package at a time: some tests hold the service to fractions of a second.
# cmd/release starts no goroutines, and the detector makes its gzip ten times slower.
race:
	$(GO) build -race ./...
	$(GO) test -race -shuffle=on -p 1 -timeout 9m $$($(GO) list ./... | grep -v /cmd/release$$)
	$(GO) test -shuffle=on ./cmd/release

fuzz:
	@set -e; for t in $(FUZZ); do \
		echo "fuzz $$t"; \
		$(GO) test -run '^$$' -fuzz "^$${t#*:}\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$${t%:*}"; \
	done

bench: bench-invite bench-register bench-bytes bench-stop bench-apns bench-export

# Natural batches against batches of one, in one run.
bench-invite: postgres
	$(GO) test -run '^$$' -bench Invite -benchtime 1x -timeout 10m ./store

# Registrations a second in a fresh database, as it fills.
bench-register: postgres
	$(GO) test -run '^$$' -bench Register -benchtime 1x -timeout 10m ./store

# Bytes that a call takes on disk and writes to the WAL, by the number of devices.
bench-bytes: postgres
	$(GO) test -run '^$$' -bench Bytes -v -benchtime 1x -timeout 20m ./store

# From one phone's answer until the other phone's open feed says stop, and from its commit until the backend's stream of events says so, at 200 calls a second; fails over 50 and 30 ms on one process, or 150 and 100 ms across two (p99).
bench-stop: postgres
	$(GO) test -run '^$$' -bench Stop -benchtime 1x -timeout 10m ./cmd/relay

# The six cases in which HTTP/2 clients lose pushes to APNs, side by side with apns2 as it comes. Three minutes, most of them other clients' timeouts.
bench-apns:
	$(GO) test -run '^$$' -bench Cases -benchtime 1x -timeout 15m ./push/apns

# A million calls as NDJSON and as CSV; fails where the relay grows by more than 64 MiB. Some minutes, most of them to fill the database.
bench-export: postgres
	$(GO) test -run '^$$' -bench Export -benchtime 1x -timeout 20m ./cmd/relay

build:
	CGO_ENABLED=0 $(GO) build -trimpath $(if $(VERSION),-ldflags "-X main.version=$(VERSION)") -o bin/relay ./cmd/relay

# dist/: an archive and a bill of materials for each platform, and SHA256SUMS. PLATFORMS=linux/amd64,… builds some of them.
release:
	$(GO) run ./cmd/release -version "$(VERSION)" -time "$(RELEASE_TIME)" -out dist $(if $(PLATFORMS),-platforms "$(PLATFORMS)")

# The release is built twice from what git has staged, in two folders, the second time with an empty build cache: the bytes are the same. Ten minutes on two cores.
release-check:
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; one="$$dir/one"; two="$$dir/second/and/deeper"; \
	mkdir -p "$$one" "$$two"; git checkout-index --all --prefix="$$one/"; cp -R "$$one/." "$$two/"; \
	for copy in "$$one" "$$two"; do \
		if [ "$$copy" = "$$one" ]; then cache=$$($(GO) env GOCACHE); else cache=$$dir/cache; umask 077; fi; \
		echo "building in $$copy"; \
		( cd "$$copy" && GOCACHE="$$cache" $(MAKE) --no-print-directory release VERSION="$(VERSION)" RELEASE_TIME="$(RELEASE_TIME)" >/dev/null ); \
	done; \
	diff "$$one/dist/SHA256SUMS" "$$two/dist/SHA256SUMS"; cat "$$one/dist/SHA256SUMS"

# Some tests reach the database through PgBouncer.
pgbouncer:
	@command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || \
	if command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq pgbouncer; \
	else \
		echo "PgBouncer is missing. Debian, Ubuntu: sudo apt-get install pgbouncer; macOS: brew install pgbouncer"; exit 1; \
	fi

# The tests run on a real Postgres, 13 or newer, of which only the programs are needed.
postgres:
	@command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	ls /opt/homebrew/opt/postgresql*/bin/initdb /usr/local/opt/postgresql*/bin/initdb /Applications/Postgres.app/Contents/Versions/*/bin/initdb >/dev/null 2>&1 || \
	if command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql; \
	else \
		echo "Postgres is missing. Debian, Ubuntu: sudo apt-get install postgresql; macOS: brew install postgresql"; exit 1; \
	fi

# The tools in tools/openapi run on Node, and two of the example backends on Node and Python.
python:
	@command -v python3 >/dev/null 2>&1 || \
	if command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3; \
	else \
		echo "Python is missing. Debian, Ubuntu: sudo apt-get install python3; macOS: brew install python"; exit 1; \
	fi

node:
	@{ command -v node && command -v npm; } >/dev/null 2>&1 || \
	if command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm; \
	else \
		echo "Node and npm are missing. Debian, Ubuntu: sudo apt-get install nodejs npm; macOS: brew install node"; exit 1; \
	fi
