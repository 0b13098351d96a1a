<#
.SYNOPSIS
Runs one of the sample scenarios: a stock signing tool signs with a key of the signing service.

.DESCRIPTION
Exit code: 0 signed and verified, 1 a tool failed, 2 wrong parameter, 3 something is missing
(a tool, a provider, a setting). When a tool fails, what the provider says about it follows.

.PARAMETER Scenario
What to run; -List names all scenarios.
.PARAMETER OrganizationId
Organization (or SIGNPATH_ORGANIZATION_ID, or a configuration file).
.PARAMETER ApiToken
API token of a submitter. Better: SIGNPATH_API_TOKEN or a configuration file, because other
users of this machine may see command lines.
.PARAMETER ProjectSlug
Project.
.PARAMETER SigningPolicySlug
Signing policy.
.PARAMETER ApiUrl
The service's address, ending in /Api (or SIGNPATH_API_URL).
.PARAMETER TrustedCaFile
Root of the service's TLS certificate, if Windows does not know it.
.PARAMETER ConfigFile
JSON file with these settings (or SIGNPATH_CONFIG_FILE, which the installer sets).
.PARAMETER CertificateFile
Certificate of the signing policy, as the service gives it (.cer); needed by SignTool and Mage.
.PARAMETER Provider
KSP or CSP, for SignTool.
.PARAMETER CryptokiPath
The PKCS #11 module; default: where the installer puts it, or above the samples.
.PARAMETER File
Sign a copy of this file instead of a made-up one.
.PARAMETER OutputDirectory
Results; default: Output\SCENARIO here.
.PARAMETER TimestampUrl
Time stamping authority (RFC 3161), for the tools that take one.
.PARAMETER OpenSslDgst
Only this command of the scenario OpenSSL; so are OpenSslPkeyutl and OpenSslCms.

.EXAMPLE
.\RunScenario.ps1 -Scenario SignTool -OrganizationId $OrganizationId -ApiToken $ApiToken -ProjectSlug hash-signing -SigningPolicySlug test-signing -CertificateFile test-signing.cer
#>
param(
    [string]$Scenario = '',
    [string]$OrganizationId = '',
    [string]$ApiToken = '',
    [string]$ProjectSlug = '',
    [string]$SigningPolicySlug = '',
    [string]$ApiUrl = '',
    [string]$TrustedCaFile = '',
    [string]$ConfigFile = '',
    [string]$CertificateFile = '',
    [ValidateSet('KSP', 'CSP')][string]$Provider = 'KSP',
    [string]$CryptokiPath = '',
    [string]$File = '',
    [string]$OutputDirectory = '',
    [string]$TimestampUrl = '',
    [switch]$OpenSslDgst,
    [switch]$OpenSslPkeyutl,
    [switch]$OpenSslCms,
    [switch]$List
)

$ErrorActionPreference = 'Stop'

function Stop-Scenario([int]$Code, [string]$Sentence, [string]$Hint) {
    [Console]::Error.WriteLine('RunScenario: error: ' + $Sentence)
    if ($Hint) { [Console]::Error.WriteLine('hint: ' + $Hint) }
    exit $Code
}

$Scripts = Get-ChildItem -Path (Join-Path $PSScriptRoot 'Scenarios\*\*.ps1') | Sort-Object BaseName
$Names = ($Scripts | ForEach-Object { $_.BaseName }) -join ', '
if ($List) {
    foreach ($s in $Scripts) { '{0,-28} {1}' -f $s.BaseName, ((Get-Content $s.FullName -TotalCount 1) -replace '^# *', '') }
    exit 0
}
if ($Scenario -eq '') { Stop-Scenario 2 '-Scenario is missing' ('one of: ' + $Names) }
$Script = $Scripts | Where-Object { $_.BaseName -eq $Scenario } | Select-Object -First 1
if (-not $Script) { Stop-Scenario 2 ('there is no scenario "' + $Scenario + '"') ('one of: ' + $Names) }
if ($ProjectSlug -eq '') { Stop-Scenario 2 '-ProjectSlug is missing' 'it stands in the list of projects of the service' }
if ($SigningPolicySlug -eq '') { Stop-Scenario 2 '-SigningPolicySlug is missing' 'it stands in the list of signing policies of the project' }

# ---- settings, as environment variables of this process: the providers read them
$Settings = @{ SIGNPATH_ORGANIZATION_ID = $OrganizationId; SIGNPATH_API_TOKEN = $ApiToken; SIGNPATH_API_URL = $ApiUrl; SIGNPATH_TRUSTED_CA_FILE = $TrustedCaFile; SIGNPATH_CONFIG_FILE = $ConfigFile }
$Before = @{}
foreach ($name in $Settings.Keys) {
    $Before[$name] = [Environment]::GetEnvironmentVariable($name)
    if ($Settings[$name] -ne '') { [Environment]::SetEnvironmentVariable($name, $Settings[$name]) }
}
if (-not $env:SIGNPATH_CONFIG_FILE) {
    if (-not $env:SIGNPATH_ORGANIZATION_ID) { Stop-Scenario 3 'the organization is missing' '-OrganizationId, SIGNPATH_ORGANIZATION_ID or -ConfigFile' }
    if (-not $env:SIGNPATH_API_TOKEN) { Stop-Scenario 3 'the API token is missing' 'set SIGNPATH_API_TOKEN, or give -ConfigFile or -ApiToken' }
}
foreach ($f in @($ConfigFile, $TrustedCaFile, $CertificateFile, $File)) {
    if ($f -ne '' -and -not (Test-Path -LiteralPath $f)) { Stop-Scenario 3 ('the file ' + $f + ' is not there') '' }
}
if ($CryptokiPath -eq '') {
    foreach ($f in @((Join-Path $env:ProgramFiles 'SignPath\CryptoProviders\SignPath.Cryptoki.dll'), (Join-Path $PSScriptRoot 'SignPath.Cryptoki.dll'), (Join-Path $PSScriptRoot '..\SignPath.Cryptoki.dll'))) {
        if (($CryptokiPath -eq '') -and (Test-Path -LiteralPath $f)) { $CryptokiPath = (Resolve-Path -LiteralPath $f).Path }
    }
}
if ($OutputDirectory -eq '') { $OutputDirectory = Join-Path $PSScriptRoot ('Output\' + $Script.BaseName) }
New-Item -ItemType Directory -Path $OutputDirectory -Force | Out-Null
$OutputDirectory = (Resolve-Path -LiteralPath $OutputDirectory).Path

. (Join-Path $PSScriptRoot 'Scenarios\Scenario.ps1')
$Began = Get-Date
$Code = 0
try { . $Script.FullName }
catch {
    $Code = 1
    $text = [string]$_.Exception.Message
    if ($text.StartsWith('MISSING:')) {
        $Code = 3
        $text = $text.Substring(8)
    }
    Write-ProviderLog $Began
    [Console]::Error.WriteLine('RunScenario: error: the scenario ' + $Script.BaseName + ' failed: ' + $text)
}
finally { foreach ($name in $Before.Keys) { [Environment]::SetEnvironmentVariable($name, $Before[$name]) } }
exit $Code
