# The key that vouches for receipts of erasure and for seals of the audit log. It signs inside Cloud
# KMS and cannot leave it; whoever has the public key verifies without us.
#
# Never rotated by itself: receipts name the key that signed them, and an old version must stay
# readable as long as anybody may show one. A new version is another EARWITNESS_SIGNING_KMS_KEY.

# A ring of its own: that of keys.tf is there only with `cmek`. Key rings cannot be deleted: destroy
# forgets it, and a later apply under the same name imports it first, as there.
resource "google_kms_key_ring" "testimony" {
  project  = var.project
  location = var.region
  name     = "${var.name}-testimony"
}

resource "google_kms_crypto_key" "testimony" {
  key_ring = google_kms_key_ring.testimony.id
  name     = "${var.name}-testimony"
  purpose  = "ASYMMETRIC_SIGN"

  version_template {
    algorithm        = "EC_SIGN_ED25519"
    protection_level = "SOFTWARE"
  }

  # A destroyed version can be restored for 30 days.
  destroy_scheduled_duration = "2592000s"

  # lifecycle.prevent_destroy takes no variable; this refuses as well, by what the last apply said.
  deletion_policy = var.delete_protection ? "PREVENT" : "DELETE"
}

locals {
  # By its full name, as the code signs with it; the first version is made with the key.
  testimony_key = join("/", [
    "projects/${var.project}/locations/${var.region}/keyRings/${google_kms_key_ring.testimony.name}",
    "cryptoKeys/${google_kms_crypto_key.testimony.name}/cryptoKeyVersions/1",
  ])

  # Who makes receipts, and who seals; the gateway says which key that is.
  testimony = {
    "gateway reads" = { who = "gateway", role = "roles/cloudkms.publicKeyViewer" }
    "retire reads"  = { who = "retire", role = "roles/cloudkms.publicKeyViewer" }
    "retire signs"  = { who = "retire", role = "roles/cloudkms.signer" }
    "seal reads"    = { who = "seal", role = "roles/cloudkms.publicKeyViewer" }
    "seal signs"    = { who = "seal", role = "roles/cloudkms.signer" }
  }
}

resource "google_kms_crypto_key_iam_member" "testimony" {
  for_each = local.testimony

  crypto_key_id = google_kms_crypto_key.testimony.id
  role          = each.value.role
  member        = local.members[each.value.who]
}
