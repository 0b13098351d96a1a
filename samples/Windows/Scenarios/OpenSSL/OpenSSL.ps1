# OpenSSL: dgst, pkeyutl and cms, through libp11's engine pkcs11.dll (RSA keys)
$openssl = Find-Program 'openssl.exe' @((Join-Path $env:ProgramFiles 'OpenSSL*\bin\openssl.exe')) 'OpenSSL 1.1 or 3 for Windows'
$engine = $env:LIBP11_ENGINE
if (-not $engine) {
    $beside = Join-Path ([IO.Path]::GetDirectoryName($openssl)) 'pkcs11.dll'
    if (Test-Path -LiteralPath $beside) { $engine = $beside }
}
if (-not $engine) { Stop-Missing 'the engine pkcs11.dll was not found: take it from a release of libp11 (x64) and put it beside openssl.exe, or name it in LIBP11_ENGINE' }
$target = Get-Input 'artifact.bin' { param($p) New-Text $p }
$key = 'pkcs11:id=' + $KeyName + ';type=private'
$configuration = Join-Path $OutputDirectory 'openssl-signpath.cnf'
[IO.File]::WriteAllText($configuration, @"
config_diagnostics = 1
openssl_conf = openssl_init

[openssl_init]
engines = engines_section

[engines_section]
pkcs11 = pkcs11_section

[pkcs11_section]
engine_id = pkcs11
dynamic_path = $($engine.Replace('\', '\\'))
MODULE_PATH = $((Get-Cryptoki).Replace('\', '\\'))
default_algorithms = ALL
init = 0
PIN = CONFIG
"@)
$public = Join-Path $OutputDirectory 'public.pem'
$oldConfiguration = $env:OPENSSL_CONF
try {
    $env:OPENSSL_CONF = $configuration
    Invoke-Program $openssl @('pkey', '-engine', 'pkcs11', '-inform', 'engine', '-in', $key, '-pubout', '-out', $public)
    if ($OpenSslDgst -or $Everything) {
        Write-Step 'openssl dgst'
        Invoke-Program $openssl @('dgst', '-engine', 'pkcs11', '-keyform', 'engine', '-sign', $key, '-sha256', '-out', ($target + '.sig'), $target)
        Invoke-Program $openssl @('dgst', '-sha256', '-verify', $public, '-signature', ($target + '.sig'), $target)
    }
    if ($OpenSslPkeyutl -or $Everything) {
        $hash = $target + '.hash'
        [IO.File]::WriteAllBytes($hash, [Security.Cryptography.SHA256]::Create().ComputeHash([IO.File]::ReadAllBytes($target)))
        foreach ($padding in @(@('-pkeyopt', 'rsa_padding_mode:pkcs1'), @('-pkeyopt', 'rsa_padding_mode:pss', '-pkeyopt', 'rsa_pss_saltlen:-1', '-pkeyopt', 'rsa_mgf1_md:sha256'))) {
            $options = @('-pkeyopt', 'digest:sha256') + $padding
            Write-Step ('openssl pkeyutl ' + ($options -join ' '))
            Invoke-Program $openssl (@('pkeyutl', '-engine', 'pkcs11', '-keyform', 'engine', '-inkey', $key, '-sign', '-in', $hash, '-out', ($hash + '.sig')) + $options)
            Invoke-Program $openssl (@('pkeyutl', '-verify', '-pubin', '-inkey', $public, '-in', $hash, '-sigfile', ($hash + '.sig')) + $options)
        }
    }
    if ($OpenSslCms -or ($Everything -and $CertificateFile -ne '')) {
        Write-Step 'openssl cms'
        $pem = Join-Path $OutputDirectory 'certificate.pem'
        $certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 (Get-CertificatePath)
        [IO.File]::WriteAllText($pem, "-----BEGIN CERTIFICATE-----`n" + [Convert]::ToBase64String($certificate.RawData, 'InsertLineBreaks') + "`n-----END CERTIFICATE-----`n")
        Invoke-Program $openssl @('cms', '-engine', 'pkcs11', '-keyform', 'engine', '-inkey', $key, '-signer', $pem, '-sign', '-binary', '-in', $target, '-noattr', '-out', ($target + '.cms'), '-outform', 'PEM')
        # The signature alone: whether its certificate is trusted is another question.
        Invoke-Program $openssl @('cms', '-verify', '-binary', '-inform', 'PEM', '-in', ($target + '.cms'), '-content', $target, '-noverify', '-out', ($target + '.out'))
    }
}
finally { $env:OPENSSL_CONF = $oldConfiguration }
