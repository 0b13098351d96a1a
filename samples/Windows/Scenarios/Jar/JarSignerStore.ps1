# jarsigner: Java archives, through SunMSCAPI and a certificate of the Windows store
$patterns = @((Join-Path $env:ProgramFiles '*\jdk*\bin\jarsigner.exe'), (Join-Path $env:ProgramFiles '*\*\jdk*\bin\jarsigner.exe'))
if ($env:JAVA_HOME) { $patterns = @((Join-Path $env:JAVA_HOME 'bin\jarsigner.exe')) + $patterns }
$jarsigner = Find-Program 'jarsigner.exe' $patterns 'install a JDK'
$certificate = Get-StoreCertificate
$jar = Get-Input 'hello.jar' { param($p) New-Archive $p @{ 'hello.txt' = 'a file to sign' } }
$arguments = @('-keystore', 'NONE', '-storetype', 'Windows-MY')
if ($TimestampUrl -ne '') { $arguments += @('-tsa', $TimestampUrl) }
Write-Step 'jarsigner, Windows-MY'
Invoke-Program $jarsigner ($arguments + @($jar, $certificate.FriendlyName))
Write-Step 'jarsigner -verify'
Invoke-Program $jarsigner @('-verify', $jar)
