# jarsigner: Java archives, through SunPKCS11 and SignPath.Cryptoki.dll
$hint = 'install a JDK'
$patterns = @((Join-Path $env:ProgramFiles '*\jdk*\bin\jarsigner.exe'), (Join-Path $env:ProgramFiles '*\*\jdk*\bin\jarsigner.exe'))
if ($env:JAVA_HOME) { $patterns = @((Join-Path $env:JAVA_HOME 'bin\jarsigner.exe')) + $patterns }
$jarsigner = Find-Program 'jarsigner.exe' $patterns $hint
$jar = Get-Input 'hello.jar' { param($p) New-Archive $p @{ 'hello.txt' = 'a file to sign' } }
$settings = Join-Path $OutputDirectory 'pkcs11.config'
[IO.File]::WriteAllText($settings, "name=SignPath.Cryptoki`nlibrary=" + (Get-Cryptoki).Replace('\', '\\') + "`nslot=1`n")
# SHA256withECDSA for EC keys: the name of the algorithm follows the key.
$algorithm = 'SHA256withRSA'
if ($CertificateFile -ne '') {
    $certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 (Get-CertificatePath)
    if ($certificate.PublicKey.Oid.Value -eq '1.2.840.10045.2.1') { $algorithm = 'SHA256withECDSA' }
}
$arguments = @('-keystore', 'NONE', '-storetype', 'PKCS11', '-providerClass', 'sun.security.pkcs11.SunPKCS11', '-providerArg', $settings, '-sigalg', $algorithm, '-storepass', 'CONFIG')
if ($TimestampUrl -ne '') { $arguments += @('-tsa', $TimestampUrl) }
Write-Step 'jarsigner'
Invoke-Program $jarsigner ($arguments + @($jar, $KeyName))
Write-Step 'jarsigner -verify'
Invoke-Program $jarsigner @('-verify', $jar)
