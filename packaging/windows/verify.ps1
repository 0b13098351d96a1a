<#
.SYNOPSIS
Tries the crypto providers on this Windows machine with the tools that are there, and prints a report.

.DESCRIPTION
Installs the package silently, signs with signtool, PowerShell, .NET, mage, NuGet and Java by the
key storage provider, by the CAPI provider and by certificates in the store, verifies each
signature and a changed copy, and uninstalls. Without -ConfigFile it starts a throw-away signing
service on this machine (signpath.exe dev) and trusts its root until the end.

The report has one line per check: name, PASS, FAIL or ABSENT, detail. ABSENT means that a tool
is not on this machine. Its last line counts. The exit code is 0 when nothing failed, else 1.

Run it in an administrator's Windows PowerShell 5.1 or PowerShell 7. It changes the certificate
stores and the installed programs of this machine, and puts both back at the end.

.PARAMETER Msi
The package; default: the one beside this script.
.PARAMETER ConfigFile
JSON file with the settings of a real service, instead of a throw-away one.
.PARAMETER ProjectSlug
Project; default: hash-signing.
.PARAMETER SigningPolicySlug
Signing policy with an RSA key; default: rsa2048.
.PARAMETER EcSigningPolicySlug
Signing policy with an EC key; default: p256. An empty text leaves these checks out.
.PARAMETER TimestampUrl
Time stamping authority (RFC 3161); default: none.
.PARAMETER Report
File for the report; default: signpath-verify.txt in the current folder.
.PARAMETER KeepInstalled
Leaves the package installed.

.EXAMPLE
powershell -ExecutionPolicy Bypass -File verify.ps1 -Msi .\SignPathCryptoProviders-1.0.0.msi
#>
param(
    [string]$Msi = '',
    [string]$ConfigFile = '',
    [string]$ProjectSlug = 'hash-signing',
    [string]$SigningPolicySlug = 'rsa2048',
    [string]$EcSigningPolicySlug = 'p256',
    [string]$TimestampUrl = '',
    [string]$Report = 'signpath-verify.txt',
    [switch]$KeepInstalled
)

$ErrorActionPreference = 'Stop'
$script:Lines = @()
$script:Count = @{ PASS = 0; FAIL = 0; ABSENT = 0 }
$Work = Join-Path ([IO.Path]::GetTempPath()) ('signpath-verify-' + [Guid]::NewGuid().ToString('N'))
$Programs = Join-Path $env:ProgramFiles 'SignPath\CryptoProviders'
$SignPath = Join-Path $Programs 'signpath.exe'
$System = Join-Path $env:SystemRoot 'System32'
$Wow = Join-Path $env:SystemRoot 'SysWOW64'
$Cryptography = 'HKLM:\SYSTEM\CurrentControlSet\Control\Cryptography'
$ListKey = $Cryptography + '\Configuration\Local\Default\00010001\KEY_STORAGE'
$KeyName = $ProjectSlug + '/' + $SigningPolicySlug
$EcKeyName = $ProjectSlug + '/' + $EcSigningPolicySlug
$script:Service = $null
$script:Root = $null
$script:Issuer = $null
$script:Thumbprint = ''
$script:Before = @()
$script:OldConfig = $env:SIGNPATH_CONFIG_FILE
$script:OldLogs = $env:SIGNPATH_LOG_FILE_DIRECTORY

function Add-Line([string]$Name, [string]$Status, [string]$Detail) {
    $oneLine = ($Detail -replace '\s+', ' ').Trim()
    if ($oneLine.Length -gt 300) { $oneLine = $oneLine.Substring(0, 300) }
    $line = '{0,-26} {1,-6} {2}' -f $Name, $Status, $oneLine
    $script:Lines += $line
    $script:Count[$Status] = $script:Count[$Status] + 1
    Write-Host $line
}

# Check runs a block: what it returns is the detail, what it throws is the failure. A text
# that begins with ABSENT: says what is not on this machine.
function Check([string]$Name, [scriptblock]$Block) {
    try {
        $detail = (& $Block | Out-String)
        Add-Line $Name 'PASS' $detail
    }
    catch {
        $text = [string]$_.Exception.Message
        if ($text.StartsWith('ABSENT:')) { Add-Line $Name 'ABSENT' $text.Substring(7) }
        else { Add-Line $Name 'FAIL' $text }
    }
}

function Stop-Absent([string]$What) { throw ('ABSENT:' + $What) }

# Invoke-Tool runs a program and returns what it printed; another exit code than 0 is a failure.
function Invoke-Tool([string]$Program, [string[]]$Arguments) {
    $old = $ErrorActionPreference
    $ErrorActionPreference = 'Continue'
    try { $text = (& $Program @Arguments 2>&1 | Out-String) }
    finally { $ErrorActionPreference = $old }
    if ($LASTEXITCODE -ne 0) { throw ([IO.Path]::GetFileName($Program) + ' ended with ' + $LASTEXITCODE + ': ' + $text + ' | ' + (Get-Cause)) }
    return $text
}

# Get-Cause is the last line with a cause in the providers' logs.
function Get-Cause {
    $found = Get-ChildItem -Path (Join-Path $Work 'logs') -Filter 'SignPath.CryptoProviders.*.txt' -ErrorAction SilentlyContinue |
        Select-String -Pattern ' (WARNING|ERROR|FATAL) ' | Select-Object -Last 1
    if ($found) { return $found.Line }
    return 'nothing in the log'
}

function Find-Tool([string]$Name, [string[]]$Patterns) {
    $command = Get-Command $Name -CommandType Application -ErrorAction SilentlyContinue | Select-Object -First 1
    if ($command) { return $command.Path }
    foreach ($p in $Patterns) {
        $file = Get-ChildItem -Path $p -ErrorAction SilentlyContinue | Sort-Object FullName | Select-Object -Last 1
        if ($file) { return $file.FullName }
    }
    return ''
}

function Find-SignTool([string]$Architecture) {
    $kits = Join-Path ${env:ProgramFiles(x86)} ('Windows Kits\10\bin\*\' + $Architecture + '\signtool.exe')
    $file = Get-ChildItem -Path $kits -ErrorAction SilentlyContinue | Sort-Object FullName | Select-Object -Last 1
    if (-not $file) { Stop-Absent ('signtool.exe for ' + $Architecture + ' (Windows SDK)') }
    return $file.FullName
}

function Get-Architecture {
    if ($env:PROCESSOR_ARCHITECTURE -eq 'ARM64') { return 'arm64' }
    return 'x64'
}

# New-Sample copies a program of Windows and adds some bytes, so that it is not one that
# Windows knows from its own catalogs.
function New-Sample([string]$Name) {
    $file = Join-Path $Work $Name
    $bytes = [IO.File]::ReadAllBytes((Join-Path $System 'where.exe')) + [Guid]::NewGuid().ToByteArray()
    [IO.File]::WriteAllBytes($file, $bytes)
    return $file
}

# Confirm-Signature: valid as it is, by the certificate of the policy; refused with one bit changed.
function Confirm-Signature([string]$File, [string]$Policy) {
    $signature = Get-AuthenticodeSignature -FilePath $File
    if ($signature.Status -ne 'Valid') { throw ('the signature is ' + $signature.Status + ': ' + $signature.StatusMessage) }
    $wanted = New-Object Security.Cryptography.X509Certificates.X509Certificate2 (Get-CertificateFile $Policy)
    if ($signature.SignerCertificate.Thumbprint -ne $wanted.Thumbprint) { throw ('signed by ' + $signature.SignerCertificate.Subject) }
    $broken = Join-Path $Work ('tampered-' + [IO.Path]::GetFileName($File))
    $bytes = [IO.File]::ReadAllBytes($File)
    $at = 0x400 + 16
    if ($File.EndsWith('.ps1')) { $at = 6 }
    $bytes[$at] = $bytes[$at] -bxor 1
    [IO.File]::WriteAllBytes($broken, $bytes)
    $status = (Get-AuthenticodeSignature -FilePath $broken).Status
    if ($status -eq 'Valid') { throw 'a changed file was accepted' }
    return ('valid, by ' + $signature.SignerCertificate.Subject + '; changed: ' + $status)
}

function Get-Stamp {
    if ($TimestampUrl -eq '') { return @() }
    return @('/tr', $TimestampUrl, '/td', 'SHA256')
}

function Get-CertificateFile([string]$Policy) {
    $file = Join-Path $Work ($Policy + '.cer')
    if (Test-Path $file) { return $file }
    Stop-Absent ('the certificate of ' + $Policy + ' was not found')
}

function Invoke-Sign([string]$SignTool, [string]$Provider, [string]$Policy, [string]$Sample, [string]$Digest) {
    $arguments = @('sign', '/v', '/csp', $Provider, '/kc', ($ProjectSlug + '/' + $Policy), '/fd', $Digest, '/f', (Get-CertificateFile $Policy)) + (Get-Stamp) + @($Sample)
    Invoke-Tool $SignTool $arguments | Out-Null
    Confirm-Signature $Sample $Policy
}

function Get-ProviderList {
    return @((Get-ItemProperty -Path $ListKey -ErrorAction SilentlyContinue).Providers)
}

function Invoke-Msi([string]$What, [string]$Log) {
    $arguments = @($What, ('"' + $Msi + '"'), '/qn', '/l*v', ('"' + $Log + '"'))
    $p = Start-Process -FilePath 'msiexec.exe' -ArgumentList $arguments -Wait -PassThru
    if ($p.ExitCode -ne 0 -and $p.ExitCode -ne 3010) { throw ('msiexec ended with ' + $p.ExitCode + ', its log is ' + $Log) }
    return ('exit code ' + $p.ExitCode)
}

function Get-StoreCertificate {
    $certificate = Get-ChildItem Cert:\CurrentUser\My | Where-Object { $_.Thumbprint -eq $script:Thumbprint } | Select-Object -First 1
    if (-not $certificate) { Stop-Absent 'the certificate is not in the store' }
    return $certificate
}

function New-Zip([string]$File, [hashtable]$Entries) {
    Add-Type -AssemblyName System.IO.Compression
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    $zip = [IO.Compression.ZipFile]::Open($File, [IO.Compression.ZipArchiveMode]::Create)
    try {
        foreach ($name in $Entries.Keys) {
            $writer = New-Object IO.StreamWriter ($zip.CreateEntry($name).Open())
            $writer.Write($Entries[$name])
            $writer.Dispose()
        }
    }
    finally { $zip.Dispose() }
}

function Find-Java([string]$Name) {
    $patterns = @((Join-Path $env:ProgramFiles ('*\jdk*\bin\' + $Name)), (Join-Path $env:ProgramFiles ('*\*\jdk*\bin\' + $Name)))
    if ($env:JAVA_HOME) { $patterns = @((Join-Path $env:JAVA_HOME ('bin\' + $Name))) + $patterns }
    $program = Find-Tool $Name $patterns
    if ($program -eq '') { Stop-Absent ($Name + ' (a JDK)') }
    return $program
}

# ---- where we are
New-Item -ItemType Directory -Path $Work | Out-Null
New-Item -ItemType Directory -Path (Join-Path $Work 'logs') | Out-Null
$env:SIGNPATH_LOG_FILE_DIRECTORY = Join-Path $Work 'logs'
if ($Msi -eq '') {
    $found = Get-ChildItem -Path $PSScriptRoot -Filter 'SignPathCryptoProviders-*.msi' | Sort-Object Name | Select-Object -Last 1
    if ($found) { $Msi = $found.FullName }
}

Check 'windows' { (Get-CimInstance Win32_OperatingSystem).Caption + ' ' + [Environment]::OSVersion.Version + ' ' + $env:PROCESSOR_ARCHITECTURE + ', PowerShell ' + $PSVersionTable.PSVersion }
Check 'administrator' {
    $me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { throw 'run this script as administrator' }
}
Check 'machine' {
    if (Test-Path 'HKLM:\SOFTWARE\SignPath\CryptoProviders') { throw 'a package is installed already, and this script would remove it at its end: uninstall it first' }
    if (Test-Path $Programs) { throw ($Programs + ' is there, with a configuration of somebody: move it away first') }
    'nothing of ours is installed'
}
if ($script:Count['FAIL'] -gt 0) {
    Remove-Item -Path $Work -Recurse -Force
    $env:SIGNPATH_LOG_FILE_DIRECTORY = $script:OldLogs
    $script:Lines += ('SUMMARY passed={0} failed={1} absent={2}' -f $script:Count['PASS'], $script:Count['FAIL'], $script:Count['ABSENT'])
    $script:Lines | Set-Content -Path $Report -Encoding UTF8
    Write-Host 'Nothing was changed on this machine.'
    exit 1
}
Check 'package-signature' {
    if ($Msi -eq '') { throw 'no package was found: give -Msi' }
    $script:Msi = (Resolve-Path $Msi).Path
    $s = Get-AuthenticodeSignature -FilePath $Msi
    if ($s.Status -eq 'NotSigned') { Stop-Absent 'the package is not signed' }
    if ($s.Status -eq 'HashMismatch') { throw 'the package was changed after it was signed' }
    [string]$s.Status + ', ' + $s.SignerCertificate.Subject
}

# ---- installation
$script:Before = Get-ProviderList
Check 'install' { Invoke-Msi '/i' (Join-Path $Work 'install.log') }
Check 'files' {
    $wanted = @((Join-Path $System 'SignPath.Ksp.dll'), (Join-Path $System 'SignPath.Csp.dll'), (Join-Path $Programs 'SignPath.Cryptoki.dll'), $SignPath, (Join-Path $Programs 'CryptoProvidersConfig.json'))
    if ([Environment]::Is64BitOperatingSystem) { $wanted += @((Join-Path $Wow 'SignPath.Ksp.dll'), (Join-Path $Wow 'SignPath.Csp.dll')) }
    foreach ($f in $wanted) { if (-not (Test-Path $f)) { throw ($f + ' is missing') } }
    [string]$wanted.Count + ' files'
}
Check 'provider-list' {
    $list = Get-ProviderList
    foreach ($name in $script:Before) { if ($list -notcontains $name) { throw ($name + ' is gone from the list of key storage providers') } }
    if (@($list | Where-Object { $_ -eq 'SignPathKSP' }).Count -ne 1) { throw ('SignPathKSP is not in the list once: ' + ($list -join '; ')) }
    $list -join '; '
}
Check 'environment' {
    $value = [Environment]::GetEnvironmentVariable('SIGNPATH_CONFIG_FILE', 'Machine')
    if ($value -ne (Join-Path $Programs 'CryptoProvidersConfig.json')) { throw ('SIGNPATH_CONFIG_FILE is "' + $value + '"') }
    $value
}
Check 'certutil-csplist' {
    $text = Invoke-Tool 'certutil.exe' @('-csplist')
    foreach ($name in @('SignPathKSP', 'SignPathCSP')) { if ($text -notmatch ('Provider Name: ' + $name)) { throw ('certutil does not list ' + $name) } }
    'Provider Name: SignPathKSP, Provider Name: SignPathCSP'
}
Check 'version' { Invoke-Tool $SignPath @('version') }

# ---- the service
if ($ConfigFile -eq '') {
    Check 'service' {
        $dir = Join-Path $Work 'service'
        $out = Join-Path $Work 'service.txt'
        $keys = $SigningPolicySlug
        if ($EcSigningPolicySlug -ne '') { $keys = $keys + ',' + $EcSigningPolicySlug }
        $script:Service = Start-Process -FilePath $SignPath -ArgumentList @('dev', '--dir', ('"' + $dir + '"'), '--keys', $keys) -PassThru -NoNewWindow -RedirectStandardOutput $out -RedirectStandardError ($out + '.err')
        for ($i = 0; $i -lt 120; $i++) {
            Start-Sleep -Milliseconds 500
            $said = [string](Get-Content -Path $out -ErrorAction SilentlyContinue | Select-Object -First 1)
            if ($said.StartsWith('ready ')) { break }
            if ($script:Service.HasExited) { throw ('signpath dev ended: ' + (Get-Content ($out + '.err') | Out-String)) }
        }
        if (-not $said.StartsWith('ready ')) { throw 'signpath dev was not ready within a minute' }
        $script:ConfigFile = Join-Path $dir 'config.json'
        foreach ($policy in ($keys -split ',')) { Copy-Item (Join-Path $dir ('certificates\' + $policy + '.pem')) (Join-Path $Work ($policy + '.cer')) }
        $script:Root = Import-Certificate -FilePath (Join-Path $dir 'ca.pem') -CertStoreLocation Cert:\LocalMachine\Root
        # The issuers between key and root, for signtool and Windows to build the chain.
        foreach ($policy in ($keys -split ',')) {
            $chain = [IO.File]::ReadAllText((Join-Path $dir ('certificates\' + $policy + '.chain.pem')))
            $second = ([regex]'(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----').Matches($chain)
            if ($second.Count -gt 1) {
                $file = Join-Path $Work 'issuer.cer'
                [IO.File]::WriteAllText($file, $second[1].Value)
                $script:Issuer = Import-Certificate -FilePath $file -CertStoreLocation Cert:\LocalMachine\CA
            }
        }
        $said
    }
}
$env:SIGNPATH_CONFIG_FILE = $ConfigFile
Check 'doctor' { (Invoke-Tool $SignPath @('doctor')) -split "`n" | Select-Object -Last 3 }

# ---- certificates in the store
Check 'certificates-register' {
    $old = @(Get-ChildItem Cert:\CurrentUser\My | ForEach-Object { $_.Thumbprint })
    Invoke-Tool $SignPath @('certificates', 'register', '--signing-policy', $KeyName) | Out-Null
    $ours = Get-ChildItem Cert:\CurrentUser\My | Where-Object { $_.FriendlyName -eq ('SignPath ' + $KeyName) } | Select-Object -First 1
    if (-not $ours) { $ours = Get-ChildItem Cert:\CurrentUser\My | Where-Object { $old -notcontains $_.Thumbprint } | Select-Object -First 1 }
    if (-not $ours) { throw 'no new certificate in CurrentUser\My' }
    if (-not $ours.HasPrivateKey) { throw 'the certificate leads to no private key' }
    $script:Thumbprint = $ours.Thumbprint
    $file = Join-Path $Work ($SigningPolicySlug + '.cer')
    if (-not (Test-Path $file)) { [IO.File]::WriteAllBytes($file, $ours.RawData) }
    $ours.Thumbprint + ' ' + $ours.Subject
}

# ---- signtool
$Here = Get-Architecture
Check 'signtool-ksp-sha256' { Invoke-Sign (Find-SignTool $Here) 'SignPathKSP' $SigningPolicySlug (New-Sample 'ksp256.exe') 'SHA256' }
Check 'signtool-ksp-sha384' { Invoke-Sign (Find-SignTool $Here) 'SignPathKSP' $SigningPolicySlug (New-Sample 'ksp384.exe') 'SHA384' }
Check 'signtool-ksp-sha512' { Invoke-Sign (Find-SignTool $Here) 'SignPathKSP' $SigningPolicySlug (New-Sample 'ksp512.exe') 'SHA512' }
Check 'signtool-ksp-ecdsa' {
    if ($EcSigningPolicySlug -eq '') { Stop-Absent 'no signing policy with an EC key' }
    Invoke-Sign (Find-SignTool $Here) 'SignPathKSP' $EcSigningPolicySlug (New-Sample 'kspec.exe') 'SHA256'
}
Check 'signtool-csp-sha256' { Invoke-Sign (Find-SignTool $Here) 'SignPathCSP' $SigningPolicySlug (New-Sample 'csp256.exe') 'SHA256' }
Check 'signtool-x86-ksp' {
    if (-not (Test-Path (Join-Path $Wow 'SignPath.Ksp.dll'))) { Stop-Absent 'the DLLs for 32-bit programs are not installed' }
    Invoke-Sign (Find-SignTool 'x86') 'SignPathKSP' $SigningPolicySlug (New-Sample 'ksp32.exe') 'SHA256'
}
Check 'signtool-two-files' {
    $first = New-Sample 'first.exe'
    $second = New-Sample 'second.exe'
    $arguments = @('sign', '/csp', 'SignPathKSP', '/kc', $KeyName, '/fd', 'SHA256', '/f', (Get-CertificateFile $SigningPolicySlug)) + (Get-Stamp) + @($first, $second)
    Invoke-Tool (Find-SignTool $Here) $arguments | Out-Null
    Confirm-Signature $first $SigningPolicySlug | Out-Null
    Confirm-Signature $second $SigningPolicySlug
}
Check 'signtool-store' {
    $sample = New-Sample 'store.exe'
    if ($script:Thumbprint -eq '') { Stop-Absent 'no certificate in the store' }
    Invoke-Tool (Find-SignTool $Here) (@('sign', '/v', '/sha1', $script:Thumbprint, '/fd', 'SHA256') + (Get-Stamp) + @($sample)) | Out-Null
    Confirm-Signature $sample $SigningPolicySlug
}
Check 'signtool-wrong-policy' {
    $tool = Find-SignTool $Here
    $refused = $false
    try { Invoke-Tool $tool @('sign', '/csp', 'SignPathKSP', '/kc', ($ProjectSlug + '/no-such-policy'), '/fd', 'SHA256', '/f', (Get-CertificateFile $SigningPolicySlug), (New-Sample 'wrong.exe')) | Out-Null }
    catch {
        if (([string]$_.Exception.Message).StartsWith('ABSENT:')) { throw }
        $refused = $true
    }
    if (-not $refused) { throw 'signtool signed with a signing policy that does not exist' }
    Get-Cause
}

# ---- PowerShell and .NET
Check 'set-authenticode' {
    $file = Join-Path $Work 'script.ps1'
    Set-Content -Path $file -Value "# a script`r`nWrite-Output 'hello'" -Encoding UTF8
    $certificate = Get-StoreCertificate
    if ($TimestampUrl -eq '') { $s = Set-AuthenticodeSignature -FilePath $file -Certificate $certificate -HashAlgorithm SHA256 }
    else { $s = Set-AuthenticodeSignature -FilePath $file -Certificate $certificate -HashAlgorithm SHA256 -TimestampServer $TimestampUrl }
    if ($s.Status -ne 'Valid') { throw ('the signature is ' + $s.Status + ': ' + $s.StatusMessage) }
    Confirm-Signature $file $SigningPolicySlug
}
Check 'dotnet-cngkey' {
    $provider = New-Object Security.Cryptography.CngProvider 'SignPathKSP'
    $key = [Security.Cryptography.CngKey]::Open($KeyName, $provider)
    $rsa = New-Object Security.Cryptography.RSACng $key
    $data = [Text.Encoding]::UTF8.GetBytes('some data')
    foreach ($padding in @([Security.Cryptography.RSASignaturePadding]::Pkcs1, [Security.Cryptography.RSASignaturePadding]::Pss)) {
        $signature = $rsa.SignData($data, [Security.Cryptography.HashAlgorithmName]::SHA256, $padding)
        if (-not $rsa.VerifyData($data, $signature, [Security.Cryptography.HashAlgorithmName]::SHA256, $padding)) { throw ('a signature does not verify: ' + $padding) }
        $signature[0] = $signature[0] -bxor 1
        if ($rsa.VerifyData($data, $signature, [Security.Cryptography.HashAlgorithmName]::SHA256, $padding)) { throw 'a changed signature was accepted' }
    }
    [string]$key.Algorithm + ' ' + $key.KeySize + ', PKCS #1 and PSS'
}
Check 'dotnet-cms' {
    if ($PSVersionTable.PSEdition -eq 'Core') { Add-Type -AssemblyName System.Security.Cryptography.Pkcs }
    else { Add-Type -AssemblyName System.Security }
    $content = New-Object Security.Cryptography.Pkcs.ContentInfo (, [Text.Encoding]::UTF8.GetBytes('some content'))
    $cms = New-Object Security.Cryptography.Pkcs.SignedCms ($content, $true)
    $signer = New-Object Security.Cryptography.Pkcs.CmsSigner (Get-StoreCertificate)
    $signer.DigestAlgorithm = New-Object Security.Cryptography.Oid '2.16.840.1.101.3.4.2.1'
    $cms.ComputeSignature($signer, $true)
    $cms.CheckSignature($true)
    [string]$cms.Encode().Length + ' bytes'
}
Check 'certutil-store' { Invoke-Tool 'certutil.exe' @('-user', '-store', 'My', (Get-StoreCertificate).Thumbprint) | Select-String 'Provider' | Out-String }

# ---- ClickOnce, NuGet, Java
Check 'mage' {
    $mage = Find-Tool 'mage.exe' @((Join-Path ${env:ProgramFiles(x86)} 'Microsoft SDKs\Windows\v10.0A\bin\NETFX*\mage.exe'))
    if ($mage -eq '') { $mage = Find-Tool 'dotnet-mage.exe' @((Join-Path $env:USERPROFILE '.dotnet\tools\dotnet-mage.exe')) }
    if ($mage -eq '') { Stop-Absent 'mage.exe (Windows SDK) or dotnet-mage' }
    $folder = Join-Path $Work 'clickonce'
    New-Item -ItemType Directory -Path $folder | Out-Null
    Copy-Item (Join-Path $System 'where.exe') (Join-Path $folder 'app.exe')
    $manifest = Join-Path $folder 'app.exe.manifest'
    Invoke-Tool $mage @('-New', 'Application', '-Processor', 'msil', '-ToFile', $manifest, '-Name', 'app', '-Version', '1.0.0.0', '-FromDirectory', $folder) | Out-Null
    Invoke-Tool $mage @('-Sign', $manifest, '-CertFile', (Get-CertificateFile $SigningPolicySlug), '-CryptoProvider', 'SignPathKSP', '-KeyContainer', $KeyName) | Out-Null
    Invoke-Tool $mage @('-Verify', $manifest) | Out-Null
    'signed and verified'
}
Check 'nuget' {
    $package = Join-Path $Work 'sample.1.0.0.nupkg'
    New-Zip $package @{
        'sample.nuspec' = '<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>sample</id><version>1.0.0</version><authors>sample</authors><description>sample</description></metadata></package>'
        '[Content_Types].xml' = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="nuspec" ContentType="application/octet"/></Types>'
    }
    $certificate = Get-StoreCertificate
    $nuget = Find-Tool 'nuget.exe' @()
    $stamp = @()
    if ($TimestampUrl -ne '') { $stamp = @('-Timestamper', $TimestampUrl) }
    if ($nuget -ne '') {
        Invoke-Tool $nuget (@('sign', $package, '-CertificateFingerprint', $certificate.Thumbprint, '-CertificateStoreName', 'My', '-NonInteractive') + $stamp) | Out-Null
        Invoke-Tool $nuget @('verify', '-Signatures', $package) | Out-Null
    }
    else {
        $dotnet = Find-Tool 'dotnet.exe' @()
        if ($dotnet -eq '') { Stop-Absent 'nuget.exe or dotnet' }
        if ($TimestampUrl -ne '') { $stamp = @('--timestamper', $TimestampUrl) }
        Invoke-Tool $dotnet (@('nuget', 'sign', $package, '--certificate-fingerprint', $certificate.Thumbprint, '--certificate-store-name', 'My') + $stamp) | Out-Null
        Invoke-Tool $dotnet @('nuget', 'verify', $package) | Out-Null
    }
    'signed and verified'
}
Check 'jarsigner-windows-my' {
    $jarsigner = Find-Java 'jarsigner.exe'
    $jar = Join-Path $Work 'my.jar'
    New-Zip $jar @{ 'hello.txt' = 'hello' }
    $certificate = Get-StoreCertificate
    $alias = $certificate.FriendlyName
    if (-not $alias) { $alias = $certificate.GetNameInfo('SimpleName', $false) }
    Invoke-Tool $jarsigner @('-keystore', 'NONE', '-storetype', 'Windows-MY', '-sigalg', 'SHA256withRSA', $jar, $alias) | Out-Null
    if ((Invoke-Tool $jarsigner @('-verify', $jar)) -notmatch 'jar verified') { throw 'jarsigner does not verify the archive' }
    'signed and verified as ' + $alias
}
Check 'jarsigner-pkcs11' {
    $jarsigner = Find-Java 'jarsigner.exe'
    $jar = Join-Path $Work 'p11.jar'
    New-Zip $jar @{ 'hello.txt' = 'hello' }
    $settings = Join-Path $Work 'pkcs11.config'
    [IO.File]::WriteAllText($settings, "name=SignPath.Cryptoki`nlibrary=" + (Join-Path $Programs 'SignPath.Cryptoki.dll').Replace('\', '\\') + "`nslot=1`n")
    Invoke-Tool $jarsigner @('-keystore', 'NONE', '-storetype', 'PKCS11', '-providerClass', 'sun.security.pkcs11.SunPKCS11', '-providerArg', $settings, '-sigalg', 'SHA256withRSA', '-storepass', 'CONFIG', $jar, $KeyName) | Out-Null
    if ((Invoke-Tool $jarsigner @('-verify', $jar)) -notmatch 'jar verified') { throw 'jarsigner does not verify the archive' }
    'signed and verified'
}
Check 'pkcs11-tool' {
    $tool = Find-Tool 'pkcs11-tool.exe' @((Join-Path $env:ProgramFiles 'OpenSC Project\OpenSC\tools\pkcs11-tool.exe'))
    if ($tool -eq '') { Stop-Absent 'pkcs11-tool.exe (OpenSC)' }
    $text = Invoke-Tool $tool @('--module', (Join-Path $Programs 'SignPath.Cryptoki.dll'), '--pin', 'CONFIG', '--list-objects', '--type', 'privkey')
    if ($text -notmatch [regex]::Escape($KeyName)) { throw ($KeyName + ' is not listed: ' + $text) }
    $KeyName + ' is listed'
}
Check 'hlk' { Stop-Absent 'by hand: docs/windows.md, "On your own Windows machine"' }
Check 'office-vba' { Stop-Absent 'by hand: docs/windows.md, "On your own Windows machine"' }

# ---- back to what was
Check 'certificates-unregister' {
    Invoke-Tool $SignPath @('certificates', 'unregister', '--signing-policy', $KeyName) | Out-Null
    if ($script:Thumbprint -ne '' -and (Test-Path ('Cert:\CurrentUser\My\' + $script:Thumbprint))) { throw 'the certificate is still in the store' }
}
if ($script:Service) { Stop-Process -Id $script:Service.Id -Force -ErrorAction SilentlyContinue }
if ($script:Root) { Remove-Item ('Cert:\LocalMachine\Root\' + $script:Root.Thumbprint) -ErrorAction SilentlyContinue }
if ($script:Issuer) { Remove-Item ('Cert:\LocalMachine\CA\' + $script:Issuer.Thumbprint) -ErrorAction SilentlyContinue }
$env:SIGNPATH_CONFIG_FILE = $script:OldConfig
if (-not $KeepInstalled) {
    Check 'uninstall' { Invoke-Msi '/x' (Join-Path $Work 'uninstall.log') }
    Check 'nothing-left' {
        foreach ($f in @((Join-Path $System 'SignPath.Ksp.dll'), (Join-Path $System 'SignPath.Csp.dll'), (Join-Path $Wow 'SignPath.Ksp.dll'), (Join-Path $Wow 'SignPath.Csp.dll'), $Programs, ($Cryptography + '\Providers\SignPathKSP'), 'HKLM:\SOFTWARE\Microsoft\Cryptography\Defaults\Provider\SignPathCSP')) {
            if (Test-Path $f) { throw ($f + ' is still there') }
        }
        if ([Environment]::GetEnvironmentVariable('SIGNPATH_CONFIG_FILE', 'Machine')) { throw 'SIGNPATH_CONFIG_FILE is still set' }
        $list = Get-ProviderList
        if (($list -join ';') -ne ($script:Before -join ';')) { throw ('the list of key storage providers is ' + ($list -join '; ') + ', it was ' + ($script:Before -join '; ')) }
    }
}
$env:SIGNPATH_LOG_FILE_DIRECTORY = $script:OldLogs

$script:Lines += ('SUMMARY passed={0} failed={1} absent={2}' -f $script:Count['PASS'], $script:Count['FAIL'], $script:Count['ABSENT'])
Write-Host $script:Lines[-1]
$script:Lines | Set-Content -Path $Report -Encoding UTF8
if ($script:Count['FAIL'] -gt 0) {
    Write-Host ('The logs are in ' + $Work)
    exit 1
}
Remove-Item -Path $Work -Recurse -Force -ErrorAction SilentlyContinue
exit 0
