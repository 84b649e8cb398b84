# Installs the replication agent of MGN; run by SSM as root. The lines before this text set region, mgn_host,
# installer_url, checksum_url, proxy_url, no_proxy_hosts, role_arn and policy_arn, and make the installer's own
# arguments the positional ones. SSM keeps and shows all of it, so no key ever stands here.
exec 2>&1

running() {
  if command -v systemctl >/dev/null 2>&1; then
    systemctl is-active --quiet "$1"
  else
    service "$1" status >/dev/null 2>&1
  fi
}
for name in aws-replication aws-replication-agent; do
  if running "$name"; then
    echo 'landfall: the replication agent is already installed and running'
    exit 0
  fi
done

fail() {
  printf 'landfall: %s\n' "$1"
  exit 1
}
if [ -n "$proxy_url" ]; then
  https_proxy=$proxy_url HTTPS_PROXY=$proxy_url
  export https_proxy HTTPS_PROXY
fi
if [ -n "$no_proxy_hosts" ]; then
  no_proxy=$no_proxy_hosts NO_PROXY=$no_proxy_hosts
  export no_proxy NO_PROXY
fi

# What the installer needs, looked at as a whole: whoever mends it shall not find the next fault by the next try.
problems=
problem() {
  problems="$problems
- $1"
}
# Sizes in KiB. What cannot be read is left to the installer.
at_least() {
  case $2 in
    '' | *[!0-9]*) ;;
    *) [ "$2" -ge "$3" ] || problem "$1: $(($2 / 1024)) MiB are free, and $(($3 / 1024)) MiB are needed" ;;
  esac
}
free_on() {
  df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print $4 }'
}
free_memory() {
  free -k 2>/dev/null | awk '
    NR == 1 { for (i = 1; i <= NF; i++) if ($i == "available") column = i + 1 }
    $1 == "Mem:" { print column ? $column : $4 + $6 + $7 }'
}
if [ "$(id -u)" != 0 ]; then
  problem 'the installer must run as root'
fi
at_least 'the disk of /' "$(free_on /)" 2097152
at_least 'the disk of /tmp' "$(free_on /tmp)" 512000
at_least 'memory' "$(free_memory)" 307200
if command -v curl >/dev/null 2>&1; then
  fetch() { curl -fsSL --retry 2 --connect-timeout 20 --max-time 600 -o "$2" "$1"; }
  reach() { curl -sS --connect-timeout 10 --max-time 20 -o /dev/null "https://$1/"; }
elif command -v wget >/dev/null 2>&1; then
  fetch() { wget -nv -T 60 -t 3 -O "$2" "$1"; }
  # 8 is an answer, though one that says no.
  reach() { wget -nv -T 10 -t 1 -O /dev/null "https://$1/" || [ $? -eq 8 ]; }
else
  problem 'neither curl nor wget is there to download the installer with'
  reach() { :; }
fi
if ! why=$(reach "$mgn_host" 2>&1); then
  problem "$mgn_host does not answer on TCP 443: $(printf '%s\n' "$why" | tail -n 1)"
fi
if ! command -v sha512sum >/dev/null 2>&1; then
  problem 'sha512sum is not there to check the installer with'
fi
if [ -n "$role_arn" ] && ! command -v aws >/dev/null 2>&1; then
  problem "the AWS CLI is missing, by which this source assumes the role $role_arn"
fi
if [ -n "$problems" ]; then
  fail "the replication agent is not installed; mend this first:$problems"
fi

# Not /tmp, from which hardened systems start no program.
umask 077
work=$(mktemp -d "${HOME:-/root}/landfall-agent.XXXXXX" 2>/dev/null || mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fetch "$installer_url" aws-replication-installer-init ||
  fail "$installer_url could not be downloaded; check name resolution, the proxy and TCP 443 to S3"
fetch "$checksum_url" checksum ||
  fail "$checksum_url could not be downloaded; check name resolution, the proxy and TCP 443 to S3"
wanted=$(awk 'NR == 1 { print $1 }' checksum)
found=$(sha512sum aws-replication-installer-init | awk '{ print $1 }')
if [ "$wanted" != "$found" ]; then
  fail 'the installer that was downloaded does not have the SHA-512 that AWS publishes; something on the way changed it'
fi
chmod +x aws-replication-installer-init

key_id= secret= token=
if [ -n "$role_arn" ]; then
  # Only as much as the installation needs, whatever the role may do.
  if ! keys=$(aws sts assume-role --role-arn "$role_arn" --role-session-name landfall-agent-install \
    --duration-seconds 3600 --policy-arns "arn=$policy_arn" --region "$region" \
    --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text 2>refusal); then
    cat refusal
    fail "the role $role_arn could not be assumed by this managed node; its own role needs sts:AssumeRole on it, and the trust policy must name it"
  fi
  key_id=$(printf '%s\n' "$keys" | cut -s -f 1)
  secret=$(printf '%s\n' "$keys" | cut -s -f 2)
  token=$(printf '%s\n' "$keys" | cut -s -f 3)
  if [ -z "$token" ]; then
    fail "the role $role_arn was assumed, and no session came with it"
  fi
  set -- "$@" --aws-access-key-id "$key_id" --aws-secret-access-key "$secret" --aws-session-token "$token"
fi
# The keys reach awk through its environment: arguments stand in the process list.
mask() {
  LANDFALL_1=$key_id LANDFALL_2=$secret LANDFALL_3=$token awk '
    function hide(text,   at) {
      while (text != "" && (at = index($0, text)) > 0)
        $0 = substr($0, 1, at - 1) "****" substr($0, at + length(text))
    }
    { hide(ENVIRON["LANDFALL_1"]); hide(ENVIRON["LANDFALL_2"]); hide(ENVIRON["LANDFALL_3"]); print }'
}
code=0
./aws-replication-installer-init "$@" >output 2>&1 </dev/null || code=$?
# SSM keeps the beginning of a long output, and the end is what counts.
tail -n 80 output | mask
if [ "$code" -ne 0 ]; then
  printf 'landfall: the installer ended with exit code %s\n' "$code"
  exit "$code"
fi
