# Everything sets itself up: a virtual environment in .venv, the pinned wheels, our package.
# One build tree, build/dev, serves the Python module and the C++ tests.
export PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
BUILD := build/dev
export PATH := $(CURDIR)/.venv/bin:$(PATH)
SOURCES := $(shell find cpp cmake -type f 2>/dev/null) CMakeLists.txt

.PHONY: train demo test format lint clean
train: .venv/installed
	$(PY) -m twist_cmg.train teacher $(ARGS)

demo: .venv/installed
	$(PY) -m twist_cmg.play student --video demo.mp4 $(ARGS)

test: .venv/installed
	tools/system_packages.sh libgtest-dev
	cmake -S . -B $(BUILD) -DTWIST_BUILD_TESTS=ON >/dev/null
	cmake --build $(BUILD) --target twist_tests
	ctest --test-dir $(BUILD) --output-on-failure
	$(PY) -m pytest

format: .venv/packages
	clang-format -i $$(find cpp tests/cpp -name '*.h' -o -name '*.cpp')
	ruff format python tests/py && ruff check --fix python tests/py

lint: .venv/packages
	clang-format --dry-run -Werror $$(find cpp tests/cpp -name '*.h' -o -name '*.cpp')
	ruff format --check python tests/py && ruff check python tests/py notebooks

clean:
	rm -rf .venv build

.venv/packages: pyproject.toml tools/system_packages.sh tools/packages.py
	tools/system_packages.sh g++ python3-venv python3-dev libosmesa6
	$(PYTHON) -m venv .venv
	$(PY) tools/packages.py | $(PIP) install -q -r /dev/stdin
	touch $@

.venv/installed: .venv/packages $(SOURCES)
	$(PIP) install -q --no-build-isolation --no-deps --config-settings=build-dir=$(BUILD) -e .
	touch $@
