# Two commands do everything: `make demo` and `make test`. Each sets up what it needs.
SWIFT ?= swift
PREFIX ?= /usr/local
LENGTH ?= 32768
# Tests run on the release build, so that demo, tests and benchmarks share one build and the kernels run at speed.
BUILD = $(SWIFT) build -c release
BIN = .build/release
PRODUCTS = lagoond lagoon lagoon-lm lagoon-train lagoon-results lagoon-demo lagoon-bench
# oneDNN's OpenMP threads would spin between products, beside the daemons that the tests start on the same cores.
export OMP_WAIT_POLICY ?= passive

.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-long bench benchmarks results results-smoke format lint install

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the Debian packages that Lagoon builds on
	@tools/scripts/setup.sh

# One by one: a plain build also compiles the tools of other packages, which takes minutes and is not used.
build: setup ## build everything, optimised
	@for product in $(PRODUCTS); do $(BUILD) --product $$product || exit 1; done

demo: build ## the main job on real input: LENGTH=32768 bytes of a book, kept four ways
	@$(BIN)/lagoon-demo --length $(LENGTH)

test: setup ## build, then run the fast tests
	$(BUILD) --build-tests
	@SWIFT="$(SWIFT)" tools/scripts/test.sh

test-long: setup ## crash loops, long streams, fuzzing, and the suite under the sanitizers
	tools/scripts/test-long.sh

bench: build ## a few benchmarks, each as a ratio to this machine's own ceiling
	@for name in attend append latency; do $(BIN)/lagoon-bench $$name || exit 1; done

benchmarks: build ## the benchmarks of docs/benchmarks.md (half an hour; PYTHON=.../python with torch: also beside PyTorch)
	@PYTHON="$(PYTHON)" tools/scripts/benchmarks.sh benchmarks
	@$(BIN)/lagoon-bench report benchmarks -o docs/benchmarks.md

results: build ## remake docs/results.md (hours; Ctrl-C and the same command go on where it was)
	@$(BIN)/lagoon-results run --folder results
	@$(BIN)/lagoon-results report --folder results -o docs/results.md

results-smoke: build ## the machinery of `make results` in minutes; its figures show nothing
	@$(BIN)/lagoon-results run --folder results-smoke --smoke
	@$(BIN)/lagoon-results report --folder results-smoke --document docs/results.md -o results-smoke/results.md

format: ## format the sources in place
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests daemon tools

lint: ## check the format of the sources
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests daemon tools

install: build ## copy the executables to PREFIX/bin (default /usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin
	install $(BIN)/lagoond $(BIN)/lagoon $(BIN)/lagoon-lm $(BIN)/lagoon-train $(BIN)/lagoon-bench $(DESTDIR)$(PREFIX)/bin
