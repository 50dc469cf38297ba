# The public door: page and API on CPUs. Identity-Aware Proxy stands before it: people sign in with
# a browser, programs bring an identity in Proxy-Authorization and their API key in Authorization,
# which the proxy leaves alone.
# Source: IAP, "Authenticate from Proxy-Authorization header"; Cloud Run, "Configure IAP".

locals {
  gateway_name = "${var.name}-gateway"
  # The one name it is reached by; requests for another are refused.
  gateway_host = var.edge == null ? "${local.gateway_name}-${var.project_number}.${var.region}.run.app" : var.edge.domain
  iap_agent    = "serviceAccount:service-${var.project_number}@gcp-sa-iap.iam.gserviceaccount.com"
}

module "gateway" {
  for_each = var.images == null ? {} : { door = var.images.gateway }
  source   = "../modules/run_service"

  concurrency          = 250 # most of them only wait: for the service, or for news
  cpu                  = "1"
  default_uri_disabled = var.edge != null
  delete_protection    = var.delete_protection
  iap                  = true
  identity             = google_service_account.gateway.email
  image                = each.value
  ingress              = var.edge == null ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  kms_key_name         = local.kms_key
  memory               = "2Gi"
  name                 = local.gateway_name
  network              = local.network
  project              = var.project
  project_number       = var.project_number
  region               = var.region
  timeout_s            = 3600 # streams pass through

  # Nothing is the instance's own but its counters: uploads go to the bucket, and the page's token
  # lies in the store. Five hold 1,250 requests.
  max_instances = 5

  # The port alone: a probe's Host is none of ours, and every path asks for that first.
  probes = { start_s = 60 }

  environment = merge(local.environment, {
    EARWITNESS_PUBLIC_HOSTS    = jsonencode([local.gateway_host])
    EARWITNESS_PUSH_AUDIENCE   = local.audience
    EARWITNESS_SERVICE_URL     = module.service[local.lane_service["high"]].uri
    EARWITNESS_VIEWER_AUDIENCE = "/projects/${var.project_number}/locations/${var.region}/services/${local.gateway_name}"
  })

  # The proxy asks Cloud Run in its own name, once it has let somebody through.
  invokers = { proxy = local.iap_agent }
}

# It signs the addresses of uploads as itself, with IAM's signBlob: no key of it exists.
resource "google_service_account_iam_member" "gateway_signs" {
  member             = local.identities.gateway
  role               = "roles/iam.serviceAccountTokenCreator"
  service_account_id = google_service_account.gateway.name
}

resource "google_iap_web_cloud_run_service_iam_member" "viewer" {
  for_each = var.images == null ? [] : var.viewers

  cloud_run_service_name = module.gateway["door"].name
  location               = var.region
  member                 = each.value
  project                = var.project
  role                   = "roles/iap.httpsResourceAccessor"
}
