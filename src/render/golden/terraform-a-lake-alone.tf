# ==== versions.tf
# Written by `sluice render terraform` for the pipeline shop.

terraform {
  required_version = ">= 1.6"

  required_providers {
    azurerm = { source = "hashicorp/azurerm", version = "~> 4.55" }
  }
}

provider "azurerm" {
  storage_use_azuread = true

  features {
  }
}

# ==== variables.tf
variable "resource_group" {
  type        = string
  description = "Resource group; it must exist."
}

variable "location" {
  type        = string
  description = "Region, such as westeurope."
}

variable "replication" {
  type        = string
  description = "Replication of the storage account."
  default     = "ZRS"
}

# ==== identity.tf
# What sluice runs as: a pod, a container app or a machine takes this identity.

resource "azurerm_user_assigned_identity" "sluice" {
  name                = "sluice-shop"
  resource_group_name = var.resource_group
  location            = var.location
}

# ==== lake.tf
# The lake. docs/azure.md says why each of these is set.

resource "azurerm_storage_account" "lake" {
  name                            = "acmelake"
  resource_group_name             = var.resource_group
  location                        = var.location
  account_tier                    = "Standard"
  account_kind                    = "StorageV2"
  account_replication_type        = var.replication
  is_hns_enabled                  = false
  min_tls_version                 = "TLS1_2"
  https_traffic_only_enabled      = true
  allow_nested_items_to_be_public = false
  shared_access_key_enabled       = false
  tags                            = { application = "sluice", pipeline = "shop" }
}

resource "azurerm_storage_container" "lake" {
  name                  = "lake"
  storage_account_id    = azurerm_storage_account.lake.id
  container_access_type = "private"
}

resource "azurerm_role_assignment" "lake" {
  scope                = azurerm_storage_container.lake.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.sluice.principal_id
  principal_type       = "ServicePrincipal"
}

# ==== outputs.tf
output "client_id" {
  value = azurerm_user_assigned_identity.sluice.client_id
}

output "lake_url" {
  value = "abfss://lake@acmelake.dfs.core.windows.net/prod/"
}
