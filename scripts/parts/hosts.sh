# shellcheck shell=bash
python=python3-minimal,libpython3-stdlib
part hosts default dist "C and Python hosts that fork, raise signals and unload, here and in a Debian 11 root" "" "host debian11=$python"
part hosts-all more dist "the same, longer" "" "host debian11=$python"

part_hosts() { e2e hosts ./e2e/hosts .; }
part_hosts-all() { E2E_ALL=1 e2e hosts-all ./e2e/hosts .; }
