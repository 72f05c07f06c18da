# Everything a newcomer or CI runs. `make demo` and `make test` set up a fresh machine themselves.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
CLUSTER = $(VENV)/.cluster

.PHONY: demo test lint browser slow cluster clean

demo: $(STAMP)  ## a sweep on real images that ends in a Pareto front, a few minutes on two cores
	$(BIN)/snas-tune sweep

test: lint browser  ## lint, types and the whole suite, two files of tests at a time
	$(BIN)/pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

browser:  ## Chromium for the tests of the Pareto tab; without it they are skipped
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
		|| command -v google-chrome >/dev/null \
		|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 \
		|| echo "no browser could be installed: the tests of the Pareto tab will be skipped"

slow: $(CLUSTER) browser  ## the longer checks
	$(BIN)/pytest -m slow --timeout 3600

cluster: $(CLUSTER)  ## `ray up` on hosts made of namespaces, and their death (root; Debian's
	$(BIN)/pytest -m slow --timeout 900 tests/cluster  # openssh-server, rsync and iproute2)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $(STAMP)

$(CLUSTER): $(STAMP)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,cluster]'
	touch $(CLUSTER)

clean:
	rm -rf $(VENV) results
