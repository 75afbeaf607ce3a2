"""The preset dictionary of deflated headers: text that headers have in common, the most common last."""

from __future__ import annotations

_NAMES = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
# Section 2.2 of SPEC.md has the same lines.
_LINES = """\
"GRIB_NV":0,"GRIB_Nx":1440,"GRIB_Ny":721,"GRIB_cfName":"","GRIB_cfVarName":"","GRIB_dataType":"an",
"GRIB_gridDefinitionDescription":"Latitude/longitude","GRIB_gridType":"regular_ll",
"GRIB_iDirectionIncrementInDegrees":{"float64":0.25},"GRIB_iScansNegatively":0,
"GRIB_jDirectionIncrementInDegrees":{"float64":0.25},"GRIB_jPointsAreConsecutive":0,"GRIB_jScansPositively":0,
"GRIB_latitudeOfFirstGridPointInDegrees":{"float64":90},"GRIB_latitudeOfLastGridPointInDegrees":{"float64":-90},
"GRIB_longitudeOfFirstGridPointInDegrees":{"float64":0},"GRIB_longitudeOfLastGridPointInDegrees":{"float64":359.75},
"GRIB_missingValue":{"float64":3.4028234663852886e+38},"GRIB_name":"Temperature","GRIB_numberOfPoints":1038240,
"GRIB_paramId":130,"GRIB_shortName":"t","GRIB_stepType":"instant","GRIB_stepUnits":1,"GRIB_typeOfLevel":"hybrid",
"GRIB_units":"K","GRIB_uvRelativeToGrid":0,"coordinates":"time step isobaricInhPa latitude longitude valid_time",
"_FillValue":{"float32":9.969209968386869e+36},"_FillValue":{"int16":-32767},"add_offset":{"float64":
"missing_value":{"int16":-32767},"scale_factor":{"float64":
"long_name":"Temperature","standard_name":"air_temperature","units":"K"},"units":"kg kg**-1"},"units":"1"},
"dataset":{"attrs":{"Conventions":"CF-1.7","GRIB_centre":"ecmf",
"GRIB_centreDescription":"European Centre for Medium-Range Weather Forecasts","GRIB_edition":2,"GRIB_subCentre":0,
"history":"","institution":"European Centre for Medium-Range Weather Forecasts"},
"format":"NETCDF4","order":["step","valid_time","model_level","pressure_level",
"longitude","latitude","time"],"unlimited":["time"],"variables":{
"isobaricInhPa":{"attrs":{"long_name":"pressure","positive":"down","standard_name":"air_pressure",
"stored_direction":"decreasing","units":"hPa"},"data":[1000,850,700,500],"dims":["isobaricInhPa"],
"latitude":{"attrs":{"long_name":"latitude","standard_name":"latitude","stored_direction":"decreasing",
"units":"degrees_north"},"data":[90,89.75,89.5],"dims":["latitude"],"dtype":"float64","shape":[721]},
"longitude":{"attrs":{"long_name":"longitude","standard_name":"longitude","units":"degrees_east"},
"data":[0,0.25,0.5,0.75],"dims":["longitude"],"dtype":"float64","shape":[1440]},
"step":{"attrs":{"dtype":"timedelta64[ns]","long_name":"time since forecast_reference_time",
"standard_name":"forecast_period","units":"hours"},"data":[0],"dims":[],"dtype":"float64","shape":[]},
"time":{"attrs":{"calendar":"proleptic_gregorian","long_name":"initial time of forecast",
"standard_name":"forecast_reference_time","units":"hours since 1900-01-01 00:00:00.0"},
"valid_time":{"attrs":{"calendar":"proleptic_gregorian","long_name":"time","standard_name":"time",
"units":"seconds since 1970-01-01T00:00:00"},"data":[0],"dims":["time"],"dtype":"int64","shape":[1]}}}}},
{"arrays":[{"codec":"eocodec.rvq3d-dev","dims":["time","latitude","longitude"],"dtype":"float32",
"extra":{"xarray":{"attrs":{"max_relative_error":0.0078125,
"area_or_point":"point","wavelength_nm":490,"offset":-0.1,"scale":0.0001,
"tags":{"":{"wavelength":"492.4","wavelength_unit":"nm"}},"unit":"reflectance"},
{"colour":"undefined","colour":"alpha","mask_flags":["per_dataset","alpha"],
{"colour":"red","mask_flags":["all_valid"],{"colour":"green","mask_flags":["all_valid"],{"colour":"blue",
"native_factor":2,"position":4},"tags":{"":{"TIFFTAG_DATETIME":"2025:","TIFFTAG_IMAGEDESCRIPTION":"
}],"codec":"eocodec.predictive-dev","crs":"EPSG:4326","dims":["y","x"],"dtype":"float32","dtype":"uint8",
"extra":{"geotiff":{"raster":"image","role":"mask"}},"max_error":0,"name":"mask","nodata":"NaN","shape":[1,
"bands":[{"colour":"gray",
"mask_flags":["nodata"],"position":#}
],"bands":[{"colour":"gray",
"mask_flags":["all_valid"],"position":#}
],"bands":[{"colour":"gray",
"description":"B05","mask_flags":["all_valid"],"name":"B05","position":0},{
"description":"B06","mask_flags":["all_valid"],"name":"B06","position":1},{
"description":"B07","mask_flags":["all_valid"],"name":"B07","position":2},{
"description":"B8A","mask_flags":["all_valid"],"name":"B8A","position":3},{
"description":"B11","mask_flags":["all_valid"],"name":"B11","position":4},{
"description":"B12","mask_flags":["all_valid"],"name":"B12","position":5}],
"shape":[6,128,128],"tile":[6,512,512],"transform":[20,0,600000,0,-20,5900040]}]}
{"description":"B08","mask_flags":["all_valid"],"name":"B08","position":3}],"codec":"eocodec.rvq2d-dev",
"shape":[4,256,256],"tile":[4,512,512],"shape":[3,256,256],"tile":[3,512,512],
"shape":[1,256,256],"tile":[1,512,512],
{"arrays":[{"area_or_point":"area","bands":[{"colour":"gray",
"description":"@","mask_flags":["nodata"],"name":"@","position":#}
],"codec":"eocodec.rvq2d-dev","crs":"EPSG:32633","dims":["band","y","x"],"dtype":"uint16","layers":4,"model":"",
"name":"data","nodata":0,"shape":[10,256,256],"tile":[10,512,512],"transform":[10,0,600000,0,-10,5900040]}]}
[10,64,64],"tile":[10,512,512]}]}[10,128,128],"tile":[10,512,512]}]}
[10,256,256],"tile":[10,512,512]}]}[10,512,512],"tile":[10,512,512]}]}
{"arrays":[{"bands":[{
"name":"@"}
],"codec":"eocodec.rvq2d-dev","dims":["band","y","x"],"dtype":"uint16","layers":4,"model":"",
"name":"data","shape":[10,120,120],"tile":[10,512,512]}]}
{"arrays":[{"area_or_point":"area","bands":[{"colour":"gray",
"description":"@","mask_flags":["all_valid"],"name":"@","position":#}
],"codec":"eocodec.rvq2d-dev","crs":"EPSG:32633","dims":["band","y","x"],"dtype":"uint16","layers":4,"model":"",
"name":"data","shape":[10,120,120],"tile":[10,512,512],"transform":[10,0,600000,0,-10,5900040]}]}"""


def _expand(line: str) -> str:
    if "@" not in line and "#" not in line:
        return line
    return ",{".join(line.replace("@", name).replace("#", str(i)) for i, name in enumerate(_NAMES))


DICTIONARY = "".join(map(_expand, _LINES.split("\n"))).encode()
