variable "agent" {
  description = "Member name of Pub/Sub's own agent."
  type        = string
}

variable "dead_letter_topic" {
  description = "Id of the topic for what could not be delivered; the agent may publish there."
  type        = string
}

variable "kms_key_name" {
  description = "Key that messages are encrypted with; null = Google's."
  type        = string
}

variable "name" {
  description = "Name of the topic and of its subscription."
  type        = string
}

variable "project" {
  description = "Id of the project."
  type        = string
}

variable "push" {
  description = "Where messages are pushed to, and as whom with which audience; null = nowhere yet."
  type        = object({ endpoint = string, service_account_email = string, audience = string })
}

variable "region" {
  description = "The only region messages are kept in."
  type        = string
}
