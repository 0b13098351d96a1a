# signtool with a certificate of the Windows store, chosen by its thumbprint
$signtool = Find-SignTool
$certificate = Get-StoreCertificate
$target = Get-Input 'hello.exe' { param($p) New-Program $p }
$arguments = @('sign', '/v', '/sha1', $certificate.Thumbprint, '/fd', 'SHA256')
if ($TimestampUrl -ne '') { $arguments += @('/tr', $TimestampUrl, '/td', 'SHA256') }
Write-Step 'signtool sign /sha1'
Invoke-Program $signtool ($arguments + @($target))
$status = [string](Get-AuthenticodeSignature -FilePath $target).Status
if (@('Valid', 'UnknownError', 'NotTrusted') -notcontains $status) { throw ('the signature is ' + $status) }
