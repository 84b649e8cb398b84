# The front door. Needs Rust, Python 3.10 or newer and Terraform 1.9 or newer; everything else comes by itself.

export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/landfall/target

LANDFALL := $(CARGO_TARGET_DIR)/debug/landfall
PYTHON   := $(CURDIR)/.venv/bin/python
# Simulated seconds per real second while tests run.
SCALE    ?= 120

.PHONY: help tools demo test unit e2e conformance terraform build package lint up down clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tools: ## Say which program is missing, and where to get it.
	@missing=0; \
	need() { command -v "$$1" >/dev/null || { echo "$$1 is missing: $$2" >&2; missing=1; }; }; \
	need cargo "install Rust from https://rustup.rs"; \
	need "$${LANDFALL_PYTHON:-python3}" "install Python 3.10 or newer from https://www.python.org/downloads or your system's packages"; \
	need terraform "install Terraform 1.9 or newer from https://developer.hashicorp.com/terraform/install"; \
	exit $$missing

demo: tools build ## Migrate a small wave on the local stack, from nothing to the closing table.
	$(LANDFALL) demo

test: tools build ## Run every test; starts two local stacks and stops them afterwards.
	@SCALE=$(SCALE) $(or $(LANDFALL_PYTHON),python3) tests/run.py

unit: ## Run the tests that need no local stack.
	cargo test --workspace --exclude landfall-e2e --no-fail-fast

e2e: SUITES := $(basename $(notdir $(wildcard tests/e2e/tests/*.rs)))
e2e: up ## Run the end-to-end tests against the local stack, and leave it running.
	cargo test --workspace $(foreach suite,$(SUITES),--test $(suite))

conformance: ## Drive the running simulator with boto3 and the AWS command line, and verify a callback of the running stack.
	$(PYTHON) -m pytest -q -p no:cacheprovider tests

terraform: export TF_DATA_DIR := $(CURDIR)/.landfall/terraform/data
# A root module of its own, with the provider that `up` has fetched.
terraform: TARGET_ACCOUNT := TF_DATA_DIR=$(CURDIR)/.landfall/terraform/target-account terraform -chdir=terraform/target-account
terraform: ## Check format, validity and tests of the Terraform code; `up` has fetched the provider.
	terraform -chdir=terraform fmt -check -recursive
	terraform -chdir=terraform validate
	terraform -chdir=terraform test
	$(TARGET_ACCOUNT) init -backend=false -input=false -lockfile=readonly -plugin-dir=$(TF_DATA_DIR)/providers >/dev/null
	$(TARGET_ACCOUNT) validate
	$(TARGET_ACCOUNT) test

build: ## Build every binary for this machine.
	cargo build --workspace --bins

package: ## Build the functions for AWS (arm64) into $(CARGO_TARGET_DIR)/lambda; needs .venv, see `up`.
	PATH="$(CURDIR)/.venv/bin:$$PATH" cargo lambda build --release --arm64 --output-format zip \
		$(foreach function,$(notdir $(wildcard functions/*)),--package $(function))
	@for function in $(notdir $(wildcard functions/*)); do \
		mv "$(CARGO_TARGET_DIR)/lambda/$$function/bootstrap.zip" "$(CARGO_TARGET_DIR)/lambda/$$function.zip" || exit; \
	done

lint: ## Check format and lints.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	terraform fmt -check -recursive terraform

up: tools build ## Start the local stack, or bring it up to date.
	$(LANDFALL) up

down: ## Stop the local stack.
	$(LANDFALL) down

clean: ## Stop the local stacks and remove everything that was built or installed.
	-$(LANDFALL) down
	-LANDFALL_STACK=second $(LANDFALL) down
	rm -rf .venv
	cargo clean
