# The only entry point: make help. Every target installs what it needs
# (Debian packages through apt-get, scripts through npm, tools through go).
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TOOLS    := bin/tools
ROLES    := api-gateway upload transcoder streaming metadata monitor
DATA     ?= $(shell mktemp -d -u /tmp/streamgate-demo.XXXXXX)
FUZZTIME ?= 20s
E2E      := ./cmd/streamgate/e2e
VIDEO    ?=

GENERATED := app/rpc/streamgate.pb.go app/rpc/streamgate.connect.go app/gateway/openapi.json ui/*_templ.go ui/console/*_templ.go \
	cmd/devchain/contracts app/access/evm/validator.hex

.PHONY: help
help: ## show this help
	@echo "StreamGate: make TARGET"
	grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18 | sed 's/^/  /'

##@ build and run

.PHONY: build-monolith
build-monolith: bin/streamgate-monolith ## build bin/streamgate and bin/streamgate-monolith

.PHONY: build
build: build-monolith ## build the binary and a link for each role
	@for role in $(ROLES); do ln -sf streamgate bin/streamgate-$$role; done

bin/streamgate-monolith: bin/streamgate
	@ln -sf streamgate $@

.PHONY: bin/streamgate
bin/streamgate: assets
	@CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.buildVersion=$(VERSION)' -o $@ ./cmd/streamgate

.PHONY: bin/devchain
bin/devchain:
	@CGO_ENABLED=0 go build -trimpath -o $@ ./cmd/devchain

.PHONY: run
run: install-run build-monolith ## build and run a node with the data in ./bin/data
	@exec bin/streamgate serve --data bin/data

.PHONY: demo
demo: install-run build-monolith bin/devchain ## a chain, a fresh node and a video for holders, until Ctrl-C (VIDEO=path for your own)
	@exec bash packaging/demo.sh '$(DATA)' '$(VIDEO)'

.PHONY: cluster
cluster: install-run install-cluster build bin/devchain bin/minio bin/consul ## the demo on a node of each role, with PostgreSQL, Redis, MinIO and Consul (VIDEO=path)
	@exec bash packaging/cluster.sh '$(DATA)' '$(VIDEO)'

##@ what is generated

assets/node_modules/.package-lock.json: assets/package-lock.json assets/package.json | install-node
	@cd assets && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	touch node_modules/.package-lock.json

SCRIPTS := hls.js/dist/hls.min.js htmx.org/dist/htmx.min.js htmx.org/dist/ext/hx-sse.min.js tus-js-client/dist/tus.min.js \
	swagger-ui-dist/swagger-ui-bundle.js swagger-ui-dist/swagger-ui.css \
	uplot/dist/uPlot.iife.min.js uplot/dist/uPlot.min.css dashjs/dist/modern/umd/dash.mediaplayer.min.js

assets/dist/.copied: assets/node_modules/.package-lock.json
	@rm -rf assets/dist && mkdir -p assets/dist
	for f in $(addprefix assets/node_modules/,$(SCRIPTS)); do gzip -9nc $$f >assets/dist/$$(basename $$f).gz; done
	touch $@

.PHONY: assets
assets: assets/dist/.copied ## fetch the scripts that pages load

.PHONY: generate
generate: generate-rpc generate-ui generate-contracts ## write the generated code again

.PHONY: generate-contracts
generate-contracts: assets
	@node cmd/devchain/contracts/compile.js

.PHONY: generate-rpc
generate-rpc: install-protoc assets $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-connect-go $(TOOLS)/protoc-gen-connect-openapi
	@PATH="$(CURDIR)/$(TOOLS):$$PATH" protoc -I app/rpc -I assets/node_modules/google-proto-files \
		--go_out=app/rpc --go_opt=paths=source_relative \
		--connect-go_out=app/rpc --connect-go_opt=paths=source_relative,simple,package_suffix \
		streamgate.proto
	tmp=$$(mktemp -d); trap 'rm -r $$tmp' EXIT
	PATH="$(CURDIR)/$(TOOLS):$$PATH" protoc -I app/rpc -I assets/node_modules/google-proto-files \
		--connect-openapi_out=$$tmp \
		--connect-openapi_opt=features=google.api.http,format=json,only-googleapi-http,short-service-tags,short-operation-ids,base=app/gateway/openapi.base.json,path=openapi.json \
		streamgate.proto
	go run ./app/gateway/openapi <$$tmp/openapi.json >app/gateway/openapi.json

.PHONY: generate-ui
generate-ui: $(TOOLS)/templ
	@cd ui && ../$(TOOLS)/templ generate -log-level error

.PHONY: tidy
tidy: ## go mod tidy
	@GONOSUMDB='buf.build/*' go mod tidy # only vanguard's own tests need them; the checksum database has no entry

##@ check and test

.PHONY: fmt
fmt: $(TOOLS)/templ ## format the code
	@gofmt -w $$(git ls-files '*.go' | grep -v -e _templ.go -e .pb.go -e .connect.go)
	$(TOOLS)/templ fmt -log-level error ui

.PHONY: lint
lint: assets $(TOOLS)/golangci-lint ## run the linters
	@$(TOOLS)/golangci-lint run ./...

.PHONY: fresh
fresh: generate ## fail if generated code is stale or code is not formatted
	@git diff --exit-code --stat -- $(GENERATED) || { echo 'generated code is stale: run make generate and commit'; exit 1; }
	out=$$(gofmt -l $$(git ls-files '*.go' | grep -v -e _templ.go -e .pb.go -e .connect.go))
	[ -z "$$out" ] || { echo "gofmt would change: $$out"; exit 1; }

.PHONY: check
check: fresh lint ## everything that is known without running: fresh, formatted, vetted, linted
	@go vet ./...

.PHONY: test
test: install-run install-test assets ## install what the tests need and run them all, with the race detector
	@# The node's own tests play films in real time and wait more than they work;
	@# beside them one package at a time. Their output comes last.
	out=$$(mktemp); trap 'rm "$$out"' EXIT
	go test -race -timeout 70m $(E2E) >"$$out" 2>&1 & e2e=$$!
	failed=0
	go test -race -timeout 60m -p 1 $$(go list ./... | grep -v $(E2E:./%=%)) || failed=1
	(cd packaging/test && go test ./...) || failed=1
	wait $$e2e || failed=1
	cat "$$out"
	exit $$failed

.PHONY: pictures
pictures: install-run install-test assets ## make the README's pictures of the console again
	@PICTURES=$(CURDIR)/packaging go test -count=1 -timeout 20m -run '^TestPictures$$' $(E2E)

.PHONY: chaos
chaos: install-run install-test assets ## kill -9 the node 20 times in one chunk, 20 at random, and 40 ffmpegs (CHAOS_KILLS=20)
	@CHAOS_KILLS=$${CHAOS_KILLS:-20} go test -count=1 -timeout 40m -v -run 'TestChaos' $(E2E)

.PHONY: test-packaging
test-packaging: assets ## read the manifests, compose files, Dockerfile and units as those who use them do
	@cd packaging/test && go test -count=1 ./... # a module of its own: the product's go.mod knows nothing of Kubernetes

.PHONY: test-s3
test-s3: assets bin/minio ## build a MinIO (ten minutes, once) and run the suites of objects on it
	@go test -race -count=1 -timeout 20m ./store/s3

.PHONY: test-consul
test-consul: assets bin/consul ## build a Consul (some minutes, once) and test the registry of many nodes on it
	@go test -race -count=1 -timeout 20m ./node/cluster
	go test -race -count=1 -timeout 20m -run 'Registr|Shared|TwoOfOneNode' ./node ./cmd/streamgate

.PHONY: test-image
test-image: install-image ## build the monolith's image with buildah, without a registry (minutes, as root), and run a node in it
	@packaging/docker/try.sh

.PHONY: test-cluster
test-cluster: install-run install-test assets bin/consul bin/minio ## build Consul and MinIO (once) and tell the story of a video on a node of each role, then kill them
	@go test -race -count=1 -timeout 90m -v -run 'TestCluster|TestBackends' $(E2E)

.PHONY: test-jaeger
test-jaeger: install-run assets bin/jaeger ## build a Jaeger (some minutes, once) and read a video's trace back from it
	@JAEGER=$(CURDIR)/bin/jaeger go test -count=1 -v -run TestJaeger ./node

bin/jaeger: cmd/backends/jaeger/go.mod # a module of its own: the product's go.mod knows nothing of it
	@cd cmd/backends/jaeger && CGO_ENABLED=0 go build -trimpath -o ../../../$@ github.com/jaegertracing/jaeger/cmd/all-in-one

bin/minio: cmd/backends/minio/go.mod # a module of its own too; hashicorp's are in no checksum database
	@echo 'building MinIO, which takes some minutes once'
	cd cmd/backends/minio && CGO_ENABLED=0 GONOSUMDB='github.com/hashicorp/*' nice -n 10 go build -trimpath -o ../../../$@ github.com/minio/minio

bin/consul: cmd/backends/consul/go.mod # likewise
	@echo 'building Consul, which takes some minutes once'
	cd cmd/backends/consul && CGO_ENABLED=0 GONOSUMDB='github.com/hashicorp/*' nice -n 19 go build -trimpath -o ../../../$@ github.com/hashicorp/consul

.PHONY: fuzz
fuzz: assets ## fuzz each parser for FUZZTIME (default 20s)
	@grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r dir; do
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9]+' "$$dir"/*_test.go | sed 's/func //'); do
			echo "== $$dir $$f"
			go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) "$$dir"
		done
	done

.PHONY: hostile
hostile: install-run assets ## plan every damaged file that the generator makes
	@HOSTILE=all go test -run 'Mutants|Bombs|NoFileNames' -count=1 -v -timeout 60m ./app/media

.PHONY: bench
bench: install-run install-bench build-monolith bin/bench-peers bin/minio bin/consul ## measure against the targets; writes cmd/bench/RESULTS.md
	@CGO_ENABLED=0 go run ./cmd/bench -binary bin/streamgate -peers bin/bench-peers -out cmd/bench/RESULTS.md

.PHONY: bin/bench-peers
bin/bench-peers: # a module of its own: the product's go.mod knows nothing of the peers
	@cd cmd/bench/peers && CGO_ENABLED=0 go build -trimpath -o ../../../$@ .

.PHONY: clean
clean: ## remove what was built
	@rm -rf bin assets/dist assets/node_modules

##@ what must be installed (Debian)

$(TOOLS)/%: go.mod
	@mkdir -p $(TOOLS)
	go build -o $@ $$(go list -f '{{.ImportPath}}' tool | grep -E '/$*$$')

# $(call packages,COMMAND:PACKAGE+PACKAGE …) installs the packages whose command is missing.
define packages
	@missing=""
	for pair in $(1); do command -v "$${pair%%:*}" >/dev/null || missing="$$missing $$(tr + ' ' <<<"$${pair##*:}")"; done
	if [ -n "$$missing" ]; then
		command -v apt-get >/dev/null || { echo "please install:$$missing"; exit 1; }
		sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo
		$$sudo apt-get update -qq
		DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null
	fi
endef

.PHONY: install-run
install-run: install-node
	$(call packages,ffmpeg:ffmpeg ffprobe:ffmpeg)

.PHONY: install-node
install-node:
	$(call packages,node:nodejs npm:npm)

.PHONY: install-protoc
install-protoc:
	$(call packages,protoc:protobuf-compiler)

# Of Debian's package, without the server that installing it would start.
$(TOOLS)/promtool:
	@mkdir -p $(TOOLS)
	command -v promtool >/dev/null && { ln -sf "$$(command -v promtool)" $@; exit; }
	command -v apt-get >/dev/null || { echo "please install: promtool (package prometheus)"; exit 1; }
	tmp=$$(mktemp -d); trap 'rm -r $$tmp' EXIT
	sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo
	cd $$tmp
	apt-get download -qq prometheus 2>/dev/null || { $$sudo apt-get update -qq; apt-get download -qq prometheus; }
	dpkg-deb -x prometheus_*.deb .
	mv usr/bin/promtool $(CURDIR)/$@

.PHONY: install-test
install-test: $(TOOLS)/promtool
	$(call packages,ffmpeg:ffmpeg chromium:chromium gcc:gcc curl:curl jq:jq nginx:nginx caddy:caddy \
		redis-server:redis-server pg_ctlcluster:postgresql pgbouncer:pgbouncer firefox-esr:firefox-esr Xvfb:xvfb \
		WebKitWebDriver:webkit2gtk-driver+gstreamer1.0-libav+gstreamer1.0-plugins-good+gstreamer1.0-plugins-bad)

.PHONY: install-cluster
install-cluster:
	$(call packages,redis-server:redis-server pg_ctlcluster:postgresql curl:curl setpriv:util-linux)

.PHONY: install-image
install-image:
	$(call packages,buildah:buildah mmdebstrap:mmdebstrap)

.PHONY: install-bench
install-bench:
	$(call packages,nginx:nginx wrk:wrk redis-server:redis-server pg_ctlcluster:postgresql chromium:chromium)
