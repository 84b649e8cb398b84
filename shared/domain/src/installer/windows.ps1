# Installs the replication agent of MGN; run by SSM as SYSTEM. The lines before this text set $region, $mgnHost,
# $installerUrl, $checksumUrl, $proxyUrl, $noProxyHosts, $roleArn, $policyArn and $installerArguments. SSM keeps and
# shows all of it, so no key ever stands here.
$wrapper = Join-Path ${env:ProgramFiles(x86)} 'AWS Replication Agent\dist\windows_service_wrapper.exe'
$service = Get-Service -Name 'AwsReplicationService' -ErrorAction SilentlyContinue
if (($service -and $service.Status -eq 'Running') -or (Test-Path -LiteralPath $wrapper)) {
  Write-Output 'landfall: the replication agent is already installed and running'
  exit 0
}

function Stop-Installation([string]$why) {
  Write-Output "landfall: $why"
  exit 1
}
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12
$ProgressPreference = 'SilentlyContinue'
$web = @{ UseBasicParsing = $true; TimeoutSec = 600 }
if ($proxyUrl) {
  $env:HTTPS_PROXY = $proxyUrl
  $web.Proxy = $proxyUrl
}
if ($noProxyHosts) { $env:NO_PROXY = $noProxyHosts }

# What the installer needs, looked at as a whole: whoever mends it shall not find the next fault by the next try.
$problems = @()
$disk = Get-CimInstance -ClassName Win32_LogicalDisk -Filter "DeviceID='$env:SystemDrive'"
if ($disk -and $disk.FreeSpace -lt 2GB) {
  $problems += "the disk $env:SystemDrive`: $([int]($disk.FreeSpace / 1MB)) MiB are free, and 2048 MiB are needed"
}
$system = Get-CimInstance -ClassName Win32_OperatingSystem
if ($system -and $system.FreePhysicalMemory -lt 300 * 1024) {
  $problems += "memory: $([int]($system.FreePhysicalMemory / 1024)) MiB are free, and 300 MiB are needed"
}
try {
  $null = Invoke-WebRequest @web -Uri "https://$mgnHost/"
} catch {
  # An answer that says no is an answer.
  if (-not $_.Exception.Response) { $problems += "$mgnHost does not answer on TCP 443: $($_.Exception.Message)" }
}
if ($roleArn -and -not (Get-Command aws -ErrorAction SilentlyContinue)) {
  $problems += "the AWS CLI is missing, by which this source assumes the role $roleArn"
}
if ($problems) {
  Stop-Installation ("the replication agent is not installed; mend this first:`n- " + ($problems -join "`n- "))
}

$work = Join-Path $env:TEMP ("landfall-agent-" + [Guid]::NewGuid())
$null = New-Item -ItemType Directory -Path $work
try {
  $installer = Join-Path $work 'AwsReplicationWindowsInstaller.exe'
  $checksum = Join-Path $work 'checksum'
  foreach ($download in @(@($installerUrl, $installer), @($checksumUrl, $checksum))) {
    try {
      Invoke-WebRequest @web -Uri $download[0] -OutFile $download[1]
    } catch {
      Stop-Installation "$($download[0]) could not be downloaded; check name resolution, the proxy and TCP 443 to S3: $($_.Exception.Message)"
    }
  }
  $wanted = (Get-Content -LiteralPath $checksum -TotalCount 1).Trim().Split(' ')[0]
  $sha512 = [Security.Cryptography.SHA512]::Create()
  $stream = [IO.File]::OpenRead($installer)
  $found = [BitConverter]::ToString($sha512.ComputeHash($stream)).Replace('-', '')
  $stream.Dispose()
  if ($wanted -ne $found) {
    Stop-Installation 'the installer that was downloaded does not have the SHA-512 that AWS publishes; something on the way changed it'
  }

  # From here on a program's error output must not end the script: its exit code tells.
  $ErrorActionPreference = 'Continue'
  $keys = @()
  if ($roleArn) {
    # Only as much as the installation needs, whatever the role may do.
    $answer = aws sts assume-role --role-arn $roleArn --role-session-name landfall-agent-install --duration-seconds 3600 --policy-arns "arn=$policyArn" --region $region --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text 2>&1 | ForEach-Object { "$_" }
    if ($LASTEXITCODE -ne 0) {
      Write-Output $answer
      Stop-Installation "the role $roleArn could not be assumed by this managed node; its own role needs sts:AssumeRole on it, and the trust policy must name it"
    }
    $keys = @(($answer | Select-Object -Last 1).Trim() -split "`t")
    if ($keys.Count -ne 3) { Stop-Installation "the role $roleArn was assumed, and no session came with it" }
    $installerArguments += @('--aws-access-key-id', $keys[0], '--aws-secret-access-key', $keys[1], '--aws-session-token', $keys[2])
  }
  $output = @(& $installer @installerArguments 2>&1 | ForEach-Object { "$_" })
  $code = $LASTEXITCODE
  # SSM keeps the beginning of a long output, and the end is what counts.
  foreach ($line in ($output | Select-Object -Last 80)) {
    foreach ($key in $keys) { $line = $line.Replace($key, '****') }
    Write-Output $line
  }
  if ($code -ne 0) {
    Write-Output "landfall: the installer ended with exit code $code"
    exit $code
  }
} finally {
  Remove-Item -LiteralPath $work -Recurse -Force -ErrorAction SilentlyContinue
}
