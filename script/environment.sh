# Sourced by script/up and script/test: virtual environments with the locked dependencies. POSIX sh; expects $root,
# the project's folder. An environment that is up to date costs two short runs of Python.

say() {
    printf 'taskengine: %s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

# Whether $1 is a Python from 3.11 to 3.14.
fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null
}

# Sets $python to the machine's first that fits.
find_python() {
    for python in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if fits "$python"; then
            return
        fi
    done
    fail "needs Python 3.11 to 3.14 and finds none: install it (Debian: apt-get install python3 python3-venv), or set PYTHON"
}

# make_environment FOLDER REQUIREMENTS [project]: an environment with these packages, and the project itself in place.
make_environment() {
    folder=$1 requirements=$2
    stamp=$folder/stamp-$(basename "$requirements")
    if [ "$(cat "$stamp" 2>/dev/null)" = "$(stamp_text)" ]; then
        return
    fi
    find_python
    make_venv
    say "installing $(grep -c '^[a-z].*==' "$requirements") locked packages; the first time takes a minute or two"
    install --quiet --require-hashes --requirement "$requirements" ||
        fail "the packages could not be installed: the lines above say why"
    if [ "${3:-}" = project ]; then
        install --quiet --no-deps --no-build-isolation --editable "$root" || fail "the project could not be installed"
    fi
    stamp_text >"$stamp"
}

# The programs that browser tasks and sandboxed scripts run are Debian packages. As root they are installed; others are
# told. Without them everything else works, and such tasks fail with the reason.
make_programs() {
    wanted=
    if [ -z "${TASKENGINE_CHROMIUM:-}" ] && ! any_of chromium chromium-browser google-chrome google-chrome-stable; then
        wanted="chromium fonts-liberation"
    fi
    any_of bwrap || wanted="$wanted bubblewrap"
    if [ -z "$wanted" ]; then
        return
    fi
    if [ "$(id -u)" = 0 ] && any_of apt-get; then
        say "installing $wanted"
        # shellcheck disable=SC2086 - one word for each package
        if apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
            apt-get install -qq --yes --no-install-recommends $wanted >/dev/null; then
            return
        fi
    fi
    say "browser tasks and sandboxed scripts need these packages: apt-get install $wanted"
}

# Whether one of these programs is there.
any_of() {
    for program in "$@"; do
        if command -v "$program" >/dev/null 2>&1; then
            return 0
        fi
    done
    return 1
}

# Prints what the environment in $folder should be made of; nothing while it does not stand.
stamp_text() {
    "$folder/bin/python" -c '
import hashlib, pathlib, sys
files = b"".join(pathlib.Path(name).read_bytes() for name in sys.argv[2:])
print(sys.version.split()[0], hashlib.sha256(files).hexdigest(), sys.argv[1])
' "$root" "$requirements" "$root/pyproject.toml" 2>/dev/null || echo none
}

# Makes $folder a virtual environment, unless it is one; finds an installer for it.
make_venv() {
    # An environment that was moved along with its project still points to the old place.
    if ! fits "$folder/bin/python" || ! grep -qF "$folder" "$folder/bin/activate" 2>/dev/null; then
        rm -rf "$folder"
        say "making a virtual environment in $folder ($("$python" -V))"
        # Debian splits ensurepip off into python3-venv; without it, an environment is made with whatever is there.
        "$python" -m venv "$folder" >/dev/null 2>&1 ||
            "$python" -m virtualenv --quiet "$folder" >/dev/null 2>&1 ||
            "$python" -m venv --clear --without-pip "$folder" >/dev/null 2>&1 ||
            uv venv --quiet --python "$python" "$folder" 2>/dev/null ||
            fail "cannot make a virtual environment: install it (Debian: apt-get install python3-venv)"
    fi
    find_installer
}

# Sets $installer: how packages get into $folder.
find_installer() {
    if "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
        installer=own
    elif "$python" -m pip --python "$folder/bin/python" --version >/dev/null 2>&1; then
        installer=outer
    elif uv --version >/dev/null 2>&1; then
        installer=uv
    elif fetch_pip; then
        installer=fetched
    else
        fail "no pip to install packages with: install it (Debian: apt-get install python3-venv)"
    fi
}

# The Python packaging authority's pip in one file, for a Python that came without.
fetch_pip() {
    say "fetching pip"
    "$python" -c '
import sys, urllib.request
with urllib.request.urlopen("https://bootstrap.pypa.io/pip/pip.pyz", timeout=30) as answer:
    data = answer.read()
with open(sys.argv[1], "wb") as file:
    file.write(data)
' "$folder/pip.pyz" 2>/dev/null
}

# install ARGUMENTS of `pip install`
install() {
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
    case $installer in
    own) "$folder/bin/python" -m pip install "$@" ;;
    outer) "$python" -m pip --python "$folder/bin/python" install "$@" ;;
    uv) uv pip install --python "$folder/bin/python" "$@" ;;
    fetched) "$folder/bin/python" "$folder/pip.pyz" install "$@" ;;
    esac
}
