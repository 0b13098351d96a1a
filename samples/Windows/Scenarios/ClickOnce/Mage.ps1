# mage: ClickOnce manifests; sign the application's manifest first, then that of the deployment
$mage = Find-Program 'mage.exe' @((Join-Path ${env:ProgramFiles(x86)} 'Microsoft SDKs\Windows\v10.0A\bin\NETFX*\mage.exe'), (Join-Path $env:USERPROFILE '.dotnet\tools\dotnet-mage.exe')) 'it comes with the Windows SDK, or: dotnet tool install --global Microsoft.DotNet.Mage'
$signing = @('-CertFile', (Get-CertificatePath), '-CryptoProvider', 'SignPathKSP', '-KeyContainer', $KeyName)
if ($TimestampUrl -ne '') { $signing += @('-TimestampUri', $TimestampUrl) }
if ($File -ne '') {
    $manifest = Get-Input 'given' { param($p) New-Text $p }
}
else {
    $folder = Join-Path $OutputDirectory 'application'
    New-Item -ItemType Directory -Path $folder -Force | Out-Null
    New-Program (Join-Path $folder 'hello.exe')
    $manifest = Join-Path $folder 'hello.exe.manifest'
    Invoke-Program $mage @('-New', 'Application', '-Processor', 'msil', '-ToFile', $manifest, '-Name', 'hello', '-Version', '1.0.0.0', '-FromDirectory', $folder)
}
Write-Step 'mage -Sign, the application'
Invoke-Program $mage (@('-Sign', $manifest) + $signing)
Invoke-Program $mage @('-Verify', $manifest)
if ($File -eq '') {
    $deployment = Join-Path $OutputDirectory 'hello.application'
    Invoke-Program $mage @('-New', 'Deployment', '-Processor', 'msil', '-Install', 'true', '-Publisher', 'Example', '-AppManifest', $manifest, '-ToFile', $deployment)
    Write-Step 'mage -Sign, the deployment'
    Invoke-Program $mage (@('-Sign', $deployment) + $signing)
    Invoke-Program $mage @('-Verify', $deployment)
}
