# pkcs11-tool: objects of the module, bare signatures
$tool = Find-Program 'pkcs11-tool.exe' @((Join-Path $env:ProgramFiles 'OpenSC Project\OpenSC\tools\pkcs11-tool.exe')) 'it comes with OpenSC'
$module = Get-Cryptoki
# pkcs11-tool up to 0.27 signs with the first key that it finds, whatever --label says: show it one key only.
$env:SIGNPATH_PROJECT_SLUG = $ProjectSlug
$env:SIGNPATH_SIGNING_POLICY_SLUG = $SigningPolicySlug
try {
    Write-Step 'pkcs11-tool --list-objects'
    Invoke-Program $tool @('--module', $module, '--pin', 'CONFIG', '--list-objects')
    $target = Get-Input 'artifact.bin' { param($p) New-Text $p }
    $hash = $target + '.hash'
    $digest = [Security.Cryptography.SHA256]::Create().ComputeHash([IO.File]::ReadAllBytes($target))
    [IO.File]::WriteAllBytes($hash, $digest)
    Write-Step 'pkcs11-tool --sign, RSA-PKCS-PSS'
    Invoke-Program $tool @('--module', $module, '--pin', 'CONFIG', '--sign', '--mechanism', 'RSA-PKCS-PSS', '--hash-algorithm', 'SHA256', '--label', $KeyName, '--input-file', $hash, '--output-file', ($target + '.sig'))
    Write-Step 'pkcs11-tool --verify'
    Invoke-Program $tool @('--module', $module, '--pin', 'CONFIG', '--verify', '--mechanism', 'RSA-PKCS-PSS', '--hash-algorithm', 'SHA256', '--label', $KeyName, '--input-file', $hash, '--signature-file', ($target + '.sig'))
}
finally {
    $env:SIGNPATH_PROJECT_SLUG = $null
    $env:SIGNPATH_SIGNING_POLICY_SLUG = $null
}
