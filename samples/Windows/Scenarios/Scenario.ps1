# What all scenarios share; RunScenario.ps1 loads it. The variables are RunScenario's parameters.

$KeyName = $ProjectSlug + '/' + $SigningPolicySlug
$Everything = -not ($OpenSslDgst -or $OpenSslPkeyutl -or $OpenSslCms)

function Write-Step([string]$Text) { Write-Host ('==> ' + $Text) }

# Stop-Missing ends the scenario with code 3.
function Stop-Missing([string]$Text) { throw ('MISSING:' + $Text) }

# Find-Program looks on the PATH, then in the folders where installers put the program.
function Find-Program([string]$Name, [string[]]$Patterns, [string]$Hint) {
    $command = Get-Command $Name -CommandType Application -ErrorAction SilentlyContinue | Select-Object -First 1
    if ($command) { return $command.Path }
    foreach ($p in $Patterns) {
        $found = Get-ChildItem -Path $p -ErrorAction SilentlyContinue | Sort-Object FullName | Select-Object -Last 1
        if ($found) { return $found.FullName }
    }
    Stop-Missing ($Name + ' is not installed: ' + $Hint)
}

# Invoke-Program shows what a program prints, and fails when it fails.
function Invoke-Program([string]$Program, [string[]]$Arguments) {
    $old = $ErrorActionPreference
    $ErrorActionPreference = 'Continue'
    try { & $Program @Arguments 2>&1 | ForEach-Object { Write-Host ([string]$_) } }
    finally { $ErrorActionPreference = $old }
    if ($LASTEXITCODE -ne 0) { throw ([IO.Path]::GetFileName($Program) + ' ended with ' + $LASTEXITCODE) }
}

# Get-Input is a copy of -File, or what the block writes to the path that it gets.
function Get-Input([string]$Name, [scriptblock]$Make) {
    if ($File -ne '') {
        $path = Join-Path $OutputDirectory ([IO.Path]::GetFileName($File))
        Copy-Item -LiteralPath $File -Destination $path -Force
        return $path
    }
    $path = Join-Path $OutputDirectory $Name
    Remove-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
    & $Make $path | Out-Null
    return $path
}

function New-Text([string]$Path) { [IO.File]::WriteAllText($Path, 'a file to sign, of ' + (Get-Date).ToUniversalTime().ToString('u') + "`r`n") }

# New-Program copies a program of Windows and adds some bytes, so that Windows does not know
# it from its own catalogs.
function New-Program([string]$Path) {
    [IO.File]::WriteAllBytes($Path, [IO.File]::ReadAllBytes((Join-Path $env:SystemRoot 'System32\where.exe')) + [Guid]::NewGuid().ToByteArray())
}

function New-Archive([string]$Path, [hashtable]$Entries) {
    Add-Type -AssemblyName System.IO.Compression
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    $zip = [IO.Compression.ZipFile]::Open($Path, [IO.Compression.ZipArchiveMode]::Create)
    try {
        foreach ($name in $Entries.Keys) {
            $writer = New-Object IO.StreamWriter ($zip.CreateEntry($name).Open())
            $writer.Write($Entries[$name])
            $writer.Dispose()
        }
    }
    finally { $zip.Dispose() }
}

function Get-Cryptoki {
    if ($CryptokiPath -eq '') { Stop-Missing 'SignPath.Cryptoki.dll was not found: install the package with the feature Cryptoki, or give -CryptokiPath' }
    return $CryptokiPath
}

function Get-CertificatePath {
    if ($CertificateFile -eq '') { Stop-Missing 'this tool needs the certificate of the signing policy: download it from the service and give -CertificateFile' }
    return (Resolve-Path -LiteralPath $CertificateFile).Path
}

# Get-StoreCertificate puts the certificate into CurrentUser\My, linked to the provider, and
# returns it. `signpath certificates unregister` removes it again.
function Get-StoreCertificate {
    $signpath = Find-Program 'signpath.exe' @((Join-Path $env:ProgramFiles 'SignPath\CryptoProviders\signpath.exe')) 'install SignPathCryptoProviders'
    Invoke-Program $signpath @('certificates', 'register', '--signing-policy', $KeyName)
    $certificate = Get-ChildItem Cert:\CurrentUser\My | Where-Object { $_.FriendlyName -eq ('SignPath ' + $KeyName) } | Sort-Object NotAfter | Select-Object -Last 1
    if (-not $certificate) { throw ('no certificate with the friendly name "SignPath ' + $KeyName + '" in CurrentUser\My') }
    return $certificate
}

function Find-SignTool {
    $architecture = 'x64'
    if ($env:PROCESSOR_ARCHITECTURE -eq 'ARM64') { $architecture = 'arm64' }
    if ($env:PROCESSOR_ARCHITECTURE -eq 'x86') { $architecture = 'x86' }
    return Find-Program 'signtool.exe' @((Join-Path ${env:ProgramFiles(x86)} ('Windows Kits\10\bin\*\' + $architecture + '\signtool.exe'))) 'it comes with the Windows SDK'
}

# Write-ProviderLog shows warnings and errors of the providers since a time.
function Write-ProviderLog([DateTime]$Since) {
    $folder = $env:SIGNPATH_LOG_FILE_DIRECTORY
    if (-not $folder) { $folder = Join-Path ([IO.Path]::GetTempPath()) 'SignPathLogs' }
    $from = $Since.ToString('yyyy-MM-dd HH:mm:ss')
    $lines = Get-ChildItem -Path $folder -Filter 'SignPath.CryptoProviders.*.txt' -ErrorAction SilentlyContinue | Get-Content |
        Where-Object { $_ -match '^[0-9: .-]+(WARNING|ERROR|FATAL) ' -and $_ -ge $from } | Select-Object -Last 5
    if ($lines) {
        Write-Host ('The provider says (' + $folder + '):')
        $lines | ForEach-Object { Write-Host $_ }
    }
}
