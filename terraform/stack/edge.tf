# With `edge`: a global load balancer before the gateway, which then is reached no other way.
# TLS 1.3 only; networks that are not named get 403, an address that asks too often 429.
#
# What has to be done outside: an A record of the domain to the address (output `addresses`).
# Google issues the certificate within an hour of seeing it; until then TLS fails.

locals {
  edge_count = var.edge == null || var.images == null ? 0 : 1

  # A rule takes ten ranges (cloud.google.com/armor/quotas, read 2026-11-21).
  edge_allow = var.edge == null ? [] : chunklist(sort(var.edge.allow), 10)

  # A certificate in use cannot be deleted: another domain is another name, made first.
  edge_certificate = var.edge == null ? "" : "${var.name}-edge-${substr(sha256(var.edge.domain), 0, 8)}"
}

resource "google_compute_global_address" "edge" {
  count = local.edge_count

  project = var.project
  name    = "${var.name}-edge"
}

resource "google_compute_managed_ssl_certificate" "edge" {
  count = local.edge_count

  project = var.project
  name    = local.edge_certificate

  managed {
    domains = [var.edge.domain]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_ssl_policy" "edge" {
  count = local.edge_count

  project         = var.project
  name            = "${var.name}-edge"
  profile         = "RESTRICTED" # the only one that goes with TLS 1.3 alone
  min_tls_version = "TLS_1_3"
}

resource "google_compute_security_policy" "edge" {
  count = local.edge_count

  project     = var.project
  name        = "${var.name}-edge"
  description = "Who may ask the gateway of ${var.name}, and how often"

  dynamic "rule" {
    for_each = local.edge_allow
    content {
      action      = "throttle"
      description = "These networks, each address so often"
      priority    = 1000 + rule.key

      match {
        versioned_expr = "SRC_IPS_V1"
        config {
          src_ip_ranges = rule.value
        }
      }

      rate_limit_options {
        conform_action = "allow"
        exceed_action  = "deny(429)"
        enforce_on_key = "IP"

        rate_limit_threshold {
          count        = var.edge.requests_per_minute
          interval_sec = 60
        }
      }
    }
  }

  rule {
    action      = "deny(403)"
    description = "Nobody else"
    priority    = 2147483647

    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}

resource "google_compute_region_network_endpoint_group" "gateway" {
  count = local.edge_count

  project               = var.project
  region                = var.region
  name                  = "${var.name}-gateway"
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = module.gateway["door"].name
  }
}

# A request may take as long as Cloud Run gives it; the load balancer sets no limit of its own to
# serverless backends.
resource "google_compute_backend_service" "gateway" {
  count = local.edge_count

  project               = var.project
  name                  = "${var.name}-gateway"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.edge[0].id

  backend {
    group = google_compute_region_network_endpoint_group.gateway[0].id
  }

  # Who was refused stands here only: such requests never reach the gateway.
  log_config {
    enable      = true
    sample_rate = 1
  }
}

resource "google_compute_url_map" "gateway" {
  count = local.edge_count

  project         = var.project
  name            = "${var.name}-gateway"
  default_service = google_compute_backend_service.gateway[0].id
}

resource "google_compute_target_https_proxy" "gateway" {
  count = local.edge_count

  project          = var.project
  name             = "${var.name}-gateway"
  url_map          = google_compute_url_map.gateway[0].id
  ssl_certificates = [google_compute_managed_ssl_certificate.edge[0].id]
  ssl_policy       = google_compute_ssl_policy.edge[0].id
  tls_early_data   = "DISABLED" # such requests could be played again
}

resource "google_compute_global_forwarding_rule" "https" {
  count = local.edge_count

  project               = var.project
  name                  = "${var.name}-https"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.edge[0].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.gateway[0].id
}

# Who types the name without https is sent there; nothing else answers on port 80.

resource "google_compute_url_map" "to_https" {
  count = local.edge_count

  project = var.project
  name    = "${var.name}-to-https"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "MOVED_PERMANENTLY_DEFAULT"
    strip_query            = false
  }
}

resource "google_compute_target_http_proxy" "to_https" {
  count = local.edge_count

  project = var.project
  name    = "${var.name}-to-https"
  url_map = google_compute_url_map.to_https[0].id
}

resource "google_compute_global_forwarding_rule" "http" {
  count = local.edge_count

  project               = var.project
  name                  = "${var.name}-http"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.edge[0].id
  port_range            = "80"
  target                = google_compute_target_http_proxy.to_https[0].id
}
