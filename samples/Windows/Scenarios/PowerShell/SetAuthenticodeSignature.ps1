# Set-AuthenticodeSignature: PowerShell scripts and modules, with a certificate of the Windows store
$certificate = Get-StoreCertificate
$target = Get-Input 'hello.ps1' { param($p) Set-Content -LiteralPath $p -Value "Write-Output 'hello'" -Encoding UTF8 }
Write-Step 'Set-AuthenticodeSignature'
if ($TimestampUrl -eq '') { $signature = Set-AuthenticodeSignature -FilePath $target -Certificate $certificate -HashAlgorithm SHA256 }
else { $signature = Set-AuthenticodeSignature -FilePath $target -Certificate $certificate -HashAlgorithm SHA256 -TimestampServer $TimestampUrl }
Write-Host ([string]$signature.Status + ': ' + $signature.StatusMessage)
if (@('Valid', 'UnknownError', 'NotTrusted') -notcontains [string]$signature.Status) { throw ('the signature is ' + $signature.Status) }
