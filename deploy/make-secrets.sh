#!/bin/sh
# Makes the secrets of an installation, each in a file of its own, and gives each to the user of the container that reads it.
#
#   sudo deploy/make-secrets.sh [DIRECTORY]      (default: ./secrets)
#
# Nothing that exists is touched, so it may be run again. TOKENKEEP is the command that makes the keyring; without it, the image
# does (TOKENKEEP_IMAGE). Root is needed for `chown` alone.
set -eu

directory=${1:-./secrets}
image=${TOKENKEEP_IMAGE:-tokenkeep:0.1.0}
ours=10001 # the image's group
postgres=999
grafana=472

umask 077
mkdir -p "$directory"
cd "$directory"
# Passed through, not listed.
chmod 711 .

# keep NAME GROUP: what comes in becomes the file NAME, whole or not at all, unless it exists.
keep() {
    if [ -e "$1" ]; then
        cat > /dev/null
        echo "kept  $1"
        return
    fi
    cat > ".$1.new"
    [ -s ".$1.new" ] || { rm -f ".$1.new"; echo "$1: could not be made" >&2; exit 1; }
    chown "0:$2" ".$1.new"
    chmod 440 ".$1.new"
    mv ".$1.new" "$1"
    echo "made  $1"
}

random() {
    head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'
}

keyring() {
    if [ -n "${TOKENKEEP:-}" ]; then
        "$TOKENKEEP" keys generate
    else
        # What it says is the key: no log driver may take it down.
        docker run --rm --log-driver none --network none --read-only "$image" keys generate
    fi
}

if [ -e tokenkeep_keyring ]; then : | keep tokenkeep_keyring "$ours"; else keyring | keep tokenkeep_keyring "$ours"; fi
printf 'tk_%s' "$(random)" | keep tokenkeep_admin_key "$ours"
random | keep postgres_password "$postgres"
random | keep grafana_password "$grafana"
printf 'postgresql://tokenkeep:%s@postgres/tokenkeep' "$(cat postgres_password)" | keep tokenkeep_database_url "$ours"
printf 'redis://valkey:6379/0' | keep tokenkeep_redis_url "$ours"

echo
echo "Keep a copy of tokenkeep_keyring where the database's backups are not: without it they open nothing."
