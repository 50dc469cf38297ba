# With `cmek`: one key of the deployer's for everything this stack keeps. Destroying or disabling
# its versions makes all of it unreadable, to us and to Google.
#
# Blocks ask `var.cmek` (for_each = var.cmek ? [local.kms_key] : []): the key's id is unknown in the
# first plan, and a block that depends on what is unknown is not planned at all.
# Switching `cmek` on later encrypts what is written from then on; the database, the topics, the
# dataset and the images' repository take a key only when they are made, and Terraform would make
# them anew: choose before the first apply.

locals {
  # Each agent encrypts for the resources of its product. Where Google says so:
  # cloud.google.com/functions/docs/securing/cmek (functions, images, storage, run, eventarc),
  # /pubsub/docs/cmek, /bigquery/docs/customer-managed-encryption, /secret-manager/docs/cmek,
  # /firestore/docs/use-cmek; read 2026-11-21. The key lies in the stack's region: Firestore, too,
  # wants a regional key for a regional database.
  encrypting_agents = {
    artifact_registry = "service-${var.project_number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
    bigquery          = "bq-${var.project_number}@bigquery-encryption.iam.gserviceaccount.com"
    eventarc          = "service-${var.project_number}@gcp-sa-eventarc.iam.gserviceaccount.com"
    firestore         = "service-${var.project_number}@gcp-sa-firestore.iam.gserviceaccount.com"
    functions         = "service-${var.project_number}@gcf-admin-robot.iam.gserviceaccount.com"
    pubsub            = "service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    run               = "service-${var.project_number}@serverless-robot-prod.iam.gserviceaccount.com"
    secrets           = "service-${var.project_number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
    storage           = "service-${var.project_number}@gs-project-accounts.iam.gserviceaccount.com"
  }

  # Read from the grants, not from the key: whatever uses it is made after every agent may.
  kms_key = var.cmek ? values(google_kms_crypto_key_iam_member.agent)[0].crypto_key_id : null
}

# Key rings cannot be deleted: destroy forgets it, and a later apply under the same name needs
# terraform import 'module.stack["home"].google_kms_key_ring.stack[0]' PROJECT/REGION/NAME first.
resource "google_kms_key_ring" "stack" {
  count = var.cmek ? 1 : 0

  project  = var.project
  location = var.region
  name     = "${var.name}-keys"
}

resource "google_kms_crypto_key" "stack" {
  count = var.cmek ? 1 : 0

  key_ring        = google_kms_key_ring.stack[0].id
  name            = "${var.name}-data"
  purpose         = "ENCRYPT_DECRYPT"
  rotation_period = "7776000s" # 90 days. Older versions stay, for what they encrypted.

  # A destroyed version can be restored for 30 days, and may be billed so long; after that what it
  # encrypted is gone for everybody.
  destroy_scheduled_duration = "2592000s"

  # lifecycle.prevent_destroy takes no variable; this refuses as well, by what the last apply said.
  deletion_policy = var.delete_protection ? "PREVENT" : "DELETE"
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = var.cmek ? local.encrypting_agents : {}

  crypto_key_id = google_kms_crypto_key.stack[0].id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${each.value}"
}

# What lies between a bucket's event and its function is encrypted too. One a project and region,
# which is why no two stacks share a region.
resource "google_eventarc_google_channel_config" "stack" {
  count = var.cmek ? 1 : 0

  project         = var.project
  location        = var.region
  name            = "projects/${var.project}/locations/${var.region}/googleChannelConfig"
  crypto_key_name = local.kms_key
}
