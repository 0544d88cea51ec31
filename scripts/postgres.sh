#!/usr/bin/env bash
# Makes sure that this machine has the PostgreSQL server (initdb, postgres), which the suite and the tests start
# themselves. It says and does nothing when the server is there.
#
#   scripts/postgres.sh            install it when it is missing (Debian, Ubuntu; as root or with sudo)
#   scripts/postgres.sh stop-test  end the server that all tests of this user share (shared/testkit)
set -euo pipefail

fail() {
	printf 'scripts/postgres.sh: %s\n' "$*" >&2
	exit 1
}

# The places are those of shared/postgres/programs.go.
present() {
	local dir
	for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* \
		/opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
		if [[ -x $dir/initdb && -x $dir/postgres ]]; then
			return 0
		fi
	done
	command -v initdb >/dev/null && command -v postgres >/dev/null
}

as_root() {
	if [[ $EUID -eq 0 ]]; then
		"$@"
	else
		sudo -- "$@"
	fi
}

install() {
	if ! command -v apt-get >/dev/null; then
		fail "no PostgreSQL server on this machine, and no apt-get to install it with:" \
			"install the package that has initdb and postgres (often named postgresql or postgresql-server)"
	fi
	# Debian's package makes and starts a server of its own unless this says otherwise before it is installed.
	local conf=/etc/postgresql-common/createcluster.conf
	if [[ ! -e $conf ]]; then
		as_root mkdir -p "${conf%/*}"
		printf 'create_main_cluster = false\n' | as_root tee "$conf" >/dev/null
	fi
	"${BASH_SOURCE[0]%/*}"/apt.sh postgresql
	present || fail "postgresql is installed, and there is still no initdb and postgres"
}

# The server holds the file lock as long as it lives; a loop started with it would end it when no test uses it.
stop_test() {
	local dir guard
	for dir in "${TMPDIR:-/tmp}"/gatehouse-test-postgres-"$(id -u)"-*; do
		if [[ ! -e $dir/postgres/lock ]] || flock -n "$dir/postgres/lock" true; then
			continue
		fi
		if guard=$(cat "$dir/guard" 2>/dev/null) && grep -qs gatehouse-test-postgres "/proc/$guard/cmdline"; then
			kill -- "-$guard"
		fi
		kill -INT "$(head -n 1 "$dir/postgres/data/postmaster.pid")"
		flock -w 20 "$dir/postgres/lock" true || fail "the server in $dir does not end"
	done
}

case ${1-} in
"") present || install ;;
stop-test) stop_test ;;
*) fail "usage: scripts/postgres.sh [stop-test]" ;;
esac
