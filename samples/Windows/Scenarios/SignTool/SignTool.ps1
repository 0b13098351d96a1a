# signtool: programs, libraries, installer packages, cabinets, by key storage provider (KSP) or CSP
$signtool = Find-SignTool
$target = Get-Input 'hello.exe' { param($p) New-Program $p }
$arguments = @('sign', '/v', '/csp', ('SignPath' + $Provider), '/kc', $KeyName, '/fd', 'SHA256', '/f', (Get-CertificatePath))
if ($TimestampUrl -ne '') { $arguments += @('/tr', $TimestampUrl, '/td', 'SHA256') }
Write-Step ('signtool sign, SignPath' + $Provider)
Invoke-Program $signtool ($arguments + @($target))

Write-Step 'Get-AuthenticodeSignature'
$signature = Get-AuthenticodeSignature -FilePath $target
Write-Host ([string]$signature.Status + ': ' + $signature.SignerCertificate.Subject)
# A root of your own is not trusted by Windows until you say so: that is no fault of the signature.
if (@('Valid', 'UnknownError', 'NotTrusted') -notcontains [string]$signature.Status) { throw ('the signature is ' + $signature.Status) }
