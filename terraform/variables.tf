variable "alert_emails" {
  description = "Who is told by e-mail when something is wrong. Empty = nobody, and no alerts: each of seven conditions a stack costs up to 1.50 USD a month (announced price, 2026-11-21)."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for one in var.alert_emails : can(regex("^[^@\\s]+@[a-zA-Z0-9-]+(\\.[a-zA-Z0-9-]+)+$", one))])
    error_message = "Each of alert_emails is one address, such as ops@example.com."
  }
}

variable "archive_after_days" {
  description = "Days after which an uncompressed original (WAV or AIFF) that is kept for 90 more is FLAC in the archive bucket instead, from which it comes back byte for byte. At 30 it is read before reading costs (Nearline, from day 31). It saves about 3.50 USD a year for 1,000 hours of 16 kHz and takes 1.40 USD of an L4's time; one that wakes for it alone, at most once a day, is 0.26 USD (list prices, 2026-11-21; docs/deploy.md). Another number is for what is heard from then on. null = never: originals stay as they came, and what was due stays, too."
  type        = number
  default     = 30

  # The code takes as many (shared/settings.py).
  validation {
    condition     = try(var.archive_after_days >= 1 && var.archive_after_days <= 3650 && floor(var.archive_after_days) == var.archive_after_days, var.archive_after_days == null)
    error_message = "archive_after_days is a whole number of days, 1 to 3650, or null for never."
  }
}

variable "audit" {
  description = "How long the bucket of seals keeps each, whoever asks otherwise, in days; and whether that is locked: nobody can then shorten it, nor delete the bucket before its last seal is so old, nor undo the lock. With delete_protection = false nothing is kept."
  type = object({
    retention_days = optional(number, 400)
    locked         = optional(bool, false)
  })
  default = {}

  # Source: Cloud Storage, "Bucket Lock": at most 3,155,760,000 seconds, 100 years.
  validation {
    condition     = floor(var.audit.retention_days) == var.audit.retention_days && var.audit.retention_days >= 1 && var.audit.retention_days <= 36500
    error_message = "audit.retention_days is a whole number of days, 1 to 36500."
  }
}

variable "budget" {
  description = "Warns when a month costs more than planned: the billing account (XXXXXX-XXXXXX-XXXXXX), an amount in its currency, and the shares of it to warn at. It stops nothing and costs nothing; whoever applies needs roles/billing.costsManager there. null = none."
  type = object({
    billing_account = string
    amount          = number
    warn_at         = optional(set(number), [0.5, 0.9, 1])
  })
  default = null

  validation {
    condition     = var.budget == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "The billing account is given by its id, three times six digits and letters A to F: gcloud billing accounts list."
  }
  validation {
    condition     = try(var.budget.amount >= 1 && floor(var.budget.amount) == var.budget.amount, var.budget == null)
    error_message = "The budget's amount is a whole number of the billing account's currency, 1 or more."
  }
  validation {
    condition     = try(length(var.budget.warn_at) > 0 && alltrue([for one in var.budget.warn_at : one > 0 && one <= 10]), var.budget == null)
    error_message = "The budget warns at shares of its amount, at least one, above 0 and at most 10: 0.9 is 90 %."
  }
}

variable "cascade" {
  description = "Engines of a task, first choice first, such as { transcribe = [\"qwen\", \"whisper\"] }; a task that is left out has the default of shared/settings.py: whisper hears, sounds names."
  type        = map(list(string))
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.cascade), ["transcribe", "classify", "describe", "answer", "embed", "align"])) == 0
    error_message = "A cascade is of transcribe, classify, describe, answer, embed or align."
  }
}

variable "cmek" {
  description = "Everything kept is encrypted with a key of yours, renewed every 90 days: about 0.06 USD a month for each version of it and 0.03 USD for 10,000 uses (list price, 2026-11-21). Choose before the first apply: what is there already would be made anew."
  type        = bool
  default     = false
}

variable "delete_protection" {
  description = "terraform destroy refuses while recordings, results, metadata, measurements or keys would be lost with it. To destroy, apply with false first: what was applied last is asked."
  type        = bool
  default     = true
}

variable "edge" {
  description = "A load balancer before the gateway, which then answers nowhere else: its domain (a second stack is at KEY.DOMAIN), the networks that may ask (CIDR), and how many requests a minute each address has. About 25 USD a month for the first stack and 7 for each more, 0.75 USD for a million requests and 0.008 USD a GiB (list price, 2026-11-21). null = none: the gateway is at Google's address."
  type = object({
    domain              = string
    allow               = set(string)
    requests_per_minute = optional(number, 600)
  })
  default = null

  validation {
    condition     = var.edge == null || can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", var.edge.domain))
    error_message = "The domain is a host's name in small letters without https:// and path, such as ears.example.com."
  }
  validation {
    condition     = try(length(var.edge.allow) > 0 && alltrue([for one in var.edge.allow : can(cidrhost(one, 0))]), var.edge == null)
    error_message = "edge.allow names at least one network as CIDR, such as 203.0.113.0/24 or 2001:db8::/32; a single address is ADDRESS/32."
  }
  validation {
    condition     = try(var.edge.requests_per_minute >= 1 && var.edge.requests_per_minute <= 1000000 && floor(var.edge.requests_per_minute) == var.edge.requests_per_minute, var.edge == null)
    error_message = "edge.requests_per_minute is a whole number, 1 to 1000000: more, Cloud Armor does not count."
  }
}

variable "engines" {
  description = "Engines by name, as EARWITNESS_ENGINES takes them (docs/deploy.md shows Qwen2-Audio and Wav2Vec2); added to whisper and sounds, or in their place. Only the images of the variant cuda hold what the kinds on torch need."
  type        = any
  default     = {}

  validation {
    condition     = can(keys(var.engines)) && alltrue([for engine in try(values(var.engines), []) : can(engine.kind)])
    error_message = "Engines are a map by name, and each says its kind: { qwen = { kind = \"qwen2_audio\", ... } }."
  }
}

variable "gpu" {
  description = "The GPU of the service: accelerator (nvidia-l4 or nvidia-rtx-pro-6000), services (one for both lanes, or two) and max_instances of each, at most your quota. null = no GPU: Whisper on CPUs."
  type = object({
    accelerator   = optional(string, "nvidia-l4")
    services      = optional(string, "one")
    max_instances = optional(number, 3)
  })
  default = {}

  validation {
    condition     = var.gpu == null || contains(["nvidia-l4", "nvidia-rtx-pro-6000"], try(var.gpu.accelerator, ""))
    error_message = "Cloud Run has two GPUs: nvidia-l4 and nvidia-rtx-pro-6000."
  }
  validation {
    condition     = var.gpu == null || contains(["one", "two"], try(var.gpu.services, ""))
    error_message = "gpu.services is one (for both lanes) or two (a service for each)."
  }
  validation {
    condition     = try(var.gpu.max_instances >= 1 && floor(var.gpu.max_instances) == var.gpu.max_instances, var.gpu == null)
    error_message = "gpu.max_instances is a whole number, 1 or more, and at most your quota of GPUs in the region."
  }
  # Of accelerators and regions that exist: what does not is named by its own rule.
  validation {
    condition = try(length(setsubtract(
      setintersection(concat([var.region], [for one in values(var.regions) : one.region]), keys(local.accelerators)),
      local.gpu_regions[var.gpu.accelerator],
    )) == 0, true)
    error_message = "Cloud Run does not have ${try(var.gpu.accelerator, "that GPU")} in all of ${join(", ", concat([var.region], [for one in values(var.regions) : one.region]))}, only in ${join(", ", try(local.gpu_regions[var.gpu.accelerator], []))}: choose one of those, or gpu = null for CPUs."
  }
}

variable "high_min_instances" {
  description = "Instances that stand ready for the high lane day and night, in each stack: about 764 USD a month for each with an L4 (list price, 2026-11-21). 0 = the first recording after a pause waits for the start."
  type        = number
  default     = 0

  validation {
    condition     = var.high_min_instances >= 0 && floor(var.high_min_instances) == var.high_min_instances && var.high_min_instances <= try(var.gpu.max_instances, 3)
    error_message = "high_min_instances is a whole number, 0 or more, and at most gpu.max_instances (3 without a GPU)."
  }
}

variable "images" {
  description = "The two container images by digest, as cloudbuild.yaml pushed them. null = none were built yet: everything but the two services is made."
  type        = object({ service = string, gateway = string })
  default     = null

  validation {
    condition     = try(alltrue([for one in [var.images.service, var.images.gateway] : can(regex("@sha256:[0-9a-f]{64}$", one))]), var.images == null)
    error_message = "Images are given by digest (NAME@sha256: and 64 hexadecimal digits), as cloudbuild.yaml prints them: a tag can mean something else tomorrow."
  }
}

variable "measurements_days" {
  description = "Days that a measurement is kept in BigQuery; 400 lets a month be compared with the same month a year ago."
  type        = number
  default     = 400

  validation {
    condition     = var.measurements_days >= 1 && var.measurements_days == floor(var.measurements_days)
    error_message = "Measurements are kept for whole days, one at least: give a number such as 400."
  }
}

variable "openai" {
  description = "Whether the secret PREFIX-openai-api-key has a version: the GPU service then has an engine called openai, for tenants that agreed to it. Before the first version it would not start."
  type        = bool
  default     = false
}

variable "prefix" {
  description = "What every name begins with."
  type        = string
  default     = "ew"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,6}$", var.prefix))
    error_message = "The prefix is 2 to 7 small letters and digits and begins with a letter: names of identities end at 30 characters."
  }
}

variable "project" {
  description = "Id of the Google Cloud project that everything is made in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "The project is given by its id, such as my-recordings-4711: 6 to 30 small letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the first stack, such as europe-west4."
  type        = string

  validation {
    condition     = contains(keys(local.accelerators), var.region)
    error_message = "There is no region ${var.region} in regions.tf. Regions are written like europe-west4, without a zone; if Google opened it since, add its line there."
  }
}

variable "regions" {
  description = "More stacks by a short key (1 to 4 small letters and digits), each in a region of its own: a tenant's recordings stay in the stack they are dropped into."
  type        = map(object({ region = string }))
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.regions) : can(regex("^[a-z0-9]{1,4}$", key)) && key != "home"])
    error_message = "Keys of regions are 1 to 4 small letters and digits, for they stand in every name; home is the first stack's."
  }
  validation {
    condition     = alltrue([for one in values(var.regions) : contains(keys(local.accelerators), one.region)])
    error_message = "There is no region ${join(", ", setsubtract([for one in values(var.regions) : one.region], keys(local.accelerators)))} in regions.tf. Regions are written like europe-west4, without a zone; if Google opened it since, add its line there."
  }
  validation {
    condition     = length(distinct(concat([var.region], [for one in values(var.regions) : one.region]))) == 1 + length(var.regions)
    error_message = "Each region has one stack, and ${var.region} has the first: give every key of regions another."
  }
}

variable "soft_delete" {
  description = "How long buckets keep what was deleted or replaced, where only an operator finds it, in seconds as Google writes them: 0s (not at all: a mistake is for good), or 604800s to 7776000s (7 to 90 days). It is billed so long, and receipts of erasures say that it may take so long. With delete_protection = false nothing is kept."
  type        = string
  default     = "604800s"

  validation {
    condition     = can(regex("^(0|[1-9][0-9]*)s$", var.soft_delete))
    error_message = "soft_delete is a duration in whole seconds with its s, such as 604800s for 7 days; Google takes no other unit."
  }
  # Of durations: what is none is named by the rule before. Source: Cloud Storage, "Soft delete".
  validation {
    condition = try(
      tonumber(trimsuffix(var.soft_delete, "s")) == 0 || (
        tonumber(trimsuffix(var.soft_delete, "s")) >= 604800 && tonumber(trimsuffix(var.soft_delete, "s")) <= 7776000
    ), true)
    error_message = "Cloud Storage keeps what was deleted for 7 to 90 days, or not at all: give 604800s to 7776000s, or 0s."
  }
}

variable "tenants" {
  description = "Tenants by id, which is also the name of their folder: the tier each begins with (free, pro or enterprise), the stack it lives in (home, or a key of regions), and writers, who drop recordings into that folder without the gateway and can do nothing else there: { acme = { tier = \"pro\", writers = [\"serviceAccount:drops@acme.iam.gserviceaccount.com\"] } }. Each is made within a minute of the apply. What `earwitness tenants set` changes later stays, and a tenant that leaves this map stays as well: only its writers go."
  type = map(object({
    tier    = optional(string, "free")
    stack   = optional(string, "home")
    writers = optional(set(string), [])
  }))
  default = { demo = {} }

  validation {
    condition     = alltrue([for tenant in keys(var.tenants) : can(regex("^[a-z0-9-]{3,40}$", tenant))])
    error_message = "A tenant's id has 3 to 40 small letters, digits and hyphens."
  }

  # The tiers are the code's (shared/domain/tenants.py).
  validation {
    condition     = alltrue([for one in values(var.tenants) : contains(["free", "pro", "enterprise"], one.tier)])
    error_message = "A tenant's tier is free, pro or enterprise; there is no ${join(", ", setsubtract([for one in values(var.tenants) : one.tier], ["free", "pro", "enterprise"]))}."
  }

  validation {
    condition     = alltrue([for one in values(var.tenants) : contains(concat(["home"], keys(var.regions)), one.stack)])
    error_message = "A tenant's stack is home, or a key of regions."
  }

  validation {
    condition = alltrue(flatten([
      for one in values(var.tenants) :
      [for member in one.writers : can(regex("^(user|group|domain|serviceAccount|principal|principalSet):.+$", member))]
    ]))
    error_message = "A tenant's writers are IAM principals: user:, group:, domain:, serviceAccount:, principal:// or principalSet://. Everybody (allUsers) is none."
  }
}

variable "vector_dimension" {
  description = "Length of the vectors that recordings are compared by: twice the hidden size of the engine that makes them (means, then deviations). 1536 = wav2vec2-base; Firestore indexes at most 2048."
  type        = number
  default     = 1536

  validation {
    condition     = var.vector_dimension >= 1 && var.vector_dimension <= 2048 && var.vector_dimension == floor(var.vector_dimension)
    error_message = "Firestore indexes vectors of 1 to 2048 numbers: give twice the hidden size of the engine."
  }
}

variable "repository" {
  description = "The repository on GitHub that Cloud Build checks, builds and deploys: owner, name, branch, who may approve an apply, and the Cloud Build connection of this region to it (projects/P/locations/R/connections/C; null = GitHub's Cloud Build app is installed there). null = no triggers: builds are started by hand."
  type = object({
    owner      = string
    name       = string
    approvers  = optional(set(string), [])
    branch     = optional(string, "main")
    connection = optional(string)
  })
  default = null

  validation {
    condition     = try(var.repository.connection, null) == null || can(regex("^projects/[^/]+/locations/[^/]+/connections/[^/]+$", var.repository.connection))
    error_message = "The connection is given by its full name: projects/PROJECT/locations/REGION/connections/NAME, in the region of this deployment."
  }

  validation {
    condition     = var.repository == null || var.state_bucket != null
    error_message = "A repository that is deployed from needs state_bucket: name the bucket that terraform init -backend-config=bucket=... was given."
  }
}

variable "state_bucket" {
  description = "The bucket of Terraform's state, as terraform init -backend-config=bucket=... was given it, so that builds may read it and plan. null = builds make images and no plan."
  type        = string
  default     = null
}

variable "viewers" {
  description = "IAM principals who may open the page: user:, group:, domain:, serviceAccount:, or principal:// and principalSet://."
  type        = set(string)

  validation {
    condition     = length(setintersection(var.viewers, ["allUsers", "allAuthenticatedUsers"])) == 0
    error_message = "allUsers and allAuthenticatedUsers are everybody on the internet, and the page shows recordings. Name persons, groups or a domain: group:listeners@example.com."
  }
  validation {
    condition = alltrue([
      for one in setsubtract(var.viewers, ["allUsers", "allAuthenticatedUsers"]) :
      can(regex("^((user|group|serviceAccount):[^@\\s:]+@[^@\\s:]+\\.[^@\\s:.]+|domain:[^@\\s:]+\\.[^@\\s:.]+|principal(Set)?://iam\\.googleapis\\.com/\\S+)$", one))
    ])
    error_message = "A viewer is written with its kind: user:ada@example.com, group:listeners@example.com, domain:example.com, serviceAccount:NAME@PROJECT.iam.gserviceaccount.com, or principal(Set)://iam.googleapis.com/...."
  }
}

variable "vpc" {
  description = "Gateway, service and functions call out through a network of yours only, over TLS and from one fixed address: about 4 USD a month for the address of each stack, about 1 USD for each instance that runs all month, and 0.045 USD a GiB (list price, 2026-11-21). Starts take up to 30 s longer."
  type        = bool
  default     = false
}

variable "zonal_redundancy" {
  description = "A GPU in another zone is kept for when one zone fails: a second of a GPU costs 56 % more, so about 1,038 instead of 764 USD a month for an L4 that is always on (list price, 2026-11-21), and its quota is an own one."
  type        = bool
  default     = false

  validation {
    condition     = !var.zonal_redundancy || var.gpu != null
    error_message = "zonal_redundancy keeps a second zone's GPU, and gpu = null asks for none: leave one of the two out. CPUs are in several zones anyway."
  }
}
