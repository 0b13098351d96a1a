# nuget sign, or dotnet nuget sign: packages, with a certificate of the Windows store
$certificate = Get-StoreCertificate
$package = Get-Input 'hello.1.0.0.nupkg' {
    param($p)
    New-Archive $p @{
        'hello.nuspec' = '<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>hello</id><version>1.0.0</version><authors>example</authors><description>a package to sign</description></metadata></package>'
        '[Content_Types].xml' = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="nuspec" ContentType="application/octet"/></Types>'
    }
}
if (Get-Command 'nuget.exe' -CommandType Application -ErrorAction SilentlyContinue) {
    $arguments = @('sign', $package, '-CertificateFingerprint', $certificate.Thumbprint, '-CertificateStoreName', 'My', '-NonInteractive', '-Overwrite')
    if ($TimestampUrl -ne '') { $arguments += @('-Timestamper', $TimestampUrl) }
    Write-Step 'nuget sign'
    Invoke-Program 'nuget.exe' $arguments
    Invoke-Program 'nuget.exe' @('verify', '-Signatures', $package)
}
else {
    $dotnet = Find-Program 'dotnet.exe' @() 'nuget.exe or the .NET SDK'
    $arguments = @('nuget', 'sign', $package, '--certificate-fingerprint', $certificate.Thumbprint, '--certificate-store-name', 'My', '--overwrite')
    if ($TimestampUrl -ne '') { $arguments += @('--timestamper', $TimestampUrl) }
    Write-Step 'dotnet nuget sign'
    Invoke-Program $dotnet $arguments
    Invoke-Program $dotnet @('nuget', 'verify', $package)
}
